//! What a component may import and must export, checked by name and version before anything is linked.

use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use crate::error::LoadError;

/// The contract's package.
const PACKAGE: &str = "nas:strategy";

/// The contract's version that this host runs.
pub const CONTRACT_VERSION: &str = "0.1.0";

/// Interfaces a strategy may import. `types` holds no functions.
const GRANTED: [&str; 6] = ["types", "log", "random", "space", "costs", "history"];

/// Functions a strategy must export.
const FUNCTIONS: [&str; 9] = ["describe", "start", "restore", "replay", "ask", "tell", "judge", "recommend", "save"];

/// A full name taken apart: `nas:strategy/log@0.1.0`.
struct Name<'a> {
    package: &'a str,
    interface: &'a str,
    version: &'a str,
}

impl<'a> Name<'a> {
    fn parse(full: &'a str) -> Option<Self> {
        let (package, rest) = full.split_once('/')?;
        let (interface, version) = rest.split_once('@').unwrap_or((rest, ""));
        Some(Self { package, interface, version })
    }
}

/// The host's full name of one of the contract's interfaces.
pub(crate) fn full_name(interface: &str) -> String {
    format!("{PACKAGE}/{interface}@{CONTRACT_VERSION}")
}

/// Every import is granted, and the strategy interface is exported whole.
pub(crate) fn check(engine: &Engine, component: &Component) -> Result<(), LoadError> {
    let component_type = component.component_type();
    for (import, _) in component_type.imports(engine) {
        check_import(import)?;
    }
    let wanted = full_name("strategy");
    let Some(export) = component_type.get_export(engine, &wanted) else {
        let found: Vec<&str> = component_type.exports(engine).map(|(name, _)| name).collect();
        return Err(missing_export(wanted, &found));
    };
    let ComponentItem::ComponentInstance(instance) = &export.ty else {
        return Err(LoadError::Mismatch {
            message: format!("{wanted} is not an interface"),
            version: CONTRACT_VERSION,
        });
    };
    for function in FUNCTIONS {
        if !matches!(instance.get_export(engine, function).map(|found| found.ty), Some(ComponentItem::ComponentFunc(_)))
        {
            return Err(LoadError::MissingFunction { interface: wanted, function });
        }
    }
    Ok(())
}

fn check_import(import: &str) -> Result<(), LoadError> {
    match Name::parse(import) {
        Some(name) if name.package == PACKAGE && GRANTED.contains(&name.interface) => {
            if name.version == CONTRACT_VERSION {
                return Ok(());
            }
            Err(LoadError::ImportVersion {
                import: import.to_owned(),
                offered: full_name(name.interface),
                version: CONTRACT_VERSION,
            })
        }
        _ => Err(LoadError::UndeclaredImport { import: import.to_owned(), granted: GRANTED.map(full_name).join(", ") }),
    }
}

fn missing_export(wanted: String, found: &[&str]) -> LoadError {
    let other_version = found
        .iter()
        .find(|full| Name::parse(full).is_some_and(|name| name.package == PACKAGE && name.interface == "strategy"));
    match other_version {
        Some(found) => LoadError::ExportVersion { found: (*found).to_owned(), wanted, version: CONTRACT_VERSION },
        None => LoadError::MissingExport {
            wanted,
            found: if found.is_empty() { "nothing".to_owned() } else { found.join(", ") },
        },
    }
}
