//! The engine all strategies share, and how bytes become a [`Component`].

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use nasd_protocol::Descriptor;
use wasmtime::component::{Component as Compiled, HasSelf, Linker};
use wasmtime::{Config, Engine, OptLevel, Store};

use crate::bindings::{SearchStrategy, SearchStrategyPre};
use crate::cache::{Cache, compatibility};
use crate::error::{CallError, LoadError, RuntimeError};
use crate::functions::Functions;
use crate::grant;
use crate::host::{HostState, Services};
use crate::instance::Instance;
use crate::kept::Kept;
use crate::limits::Limits;

/// How a runtime is set up.
#[derive(Clone, Debug, Default)]
pub struct RuntimeOptions {
    /// Folder of compiled components and of their functions; none: every load compiles all of it.
    pub cache: Option<PathBuf>,
}

/// The WebAssembly engine, its linker and its cache of compiled components.
pub struct Runtime {
    engine: Engine,
    linker: Linker<HostState>,
    cache: Option<Cache>,
    /// Compiled functions, which builds of a strategy share.
    functions: Option<Arc<Functions>>,
    /// Compiling takes every core: one at a time.
    compiling: Mutex<()>,
}

impl Runtime {
    /// A runtime.
    pub fn new(options: RuntimeOptions) -> Result<Self, RuntimeError> {
        let kept = options.cache.as_deref().map(Kept::open).transpose()?.map(Arc::new);
        let functions = kept.clone().map(|kept| Arc::new(Functions::new(kept)));
        let mut configuration = configuration();
        if let Some(functions) = &functions {
            configuration.enable_incremental_compilation(functions.clone()).map_err(engine_error)?;
        }
        let engine = Engine::new(&configuration).map_err(engine_error)?;
        if let Some(functions) = &functions {
            functions.of(compatibility(&engine));
        }
        let mut linker = Linker::new(&engine);
        SearchStrategy::add_to_linker::<_, HasSelf<_>>(&mut linker, |state: &mut HostState| state)
            .map_err(engine_error)?;
        let cache = kept.map(|kept| Cache::new(kept, compatibility(&engine)));
        Ok(Self { engine, linker, cache, functions, compiling: Mutex::new(()) })
    }

    /// Compile a component, or take it from the cache, and check it against the grant. Binary or text.
    /// Blocking, for a tenth of a second or for some (a Python guest): call it where that does no harm.
    pub fn load(&self, bytes: &[u8]) -> Result<Component, LoadError> {
        check_kind(bytes)?;
        let digest = blake3::hash(bytes).to_hex().to_string();
        let compiled = match self.cache.as_ref().and_then(|cache| cache.get(&self.engine, &digest)) {
            Some(compiled) => compiled,
            None => {
                let _one_at_a_time = self.compiling.lock().unwrap_or_else(PoisonError::into_inner);
                let compiled = self.compile(bytes)?;
                if let Some(cache) = &self.cache {
                    cache.put(&digest, &compiled);
                }
                compiled
            }
        };
        grant::check(&self.engine, &compiled)?;
        let ready =
            self.linker.instantiate_pre(&compiled).and_then(SearchStrategyPre::new).map_err(|error| {
                LoadError::Mismatch { message: format!("{error:#}"), version: grant::CONTRACT_VERSION }
            })?;
        let imports = compiled.component_type().imports(&self.engine).map(|(name, _)| name.to_owned()).collect();
        Ok(Component { inner: Arc::new(Inner { digest, imports, ready }) })
    }

    /// All of it, or what no build before had in common with it.
    fn compile(&self, bytes: &[u8]) -> Result<Compiled, LoadError> {
        if let Some(functions) = &self.functions {
            functions.begin();
        }
        let compiled = Compiled::new(&self.engine, bytes);
        if let Some(functions) = &self.functions {
            functions.end();
        }
        compiled.map_err(|error| LoadError::Invalid { message: format!("{error:#}") })
    }
}

/// Settings that decide what a strategy computes: the same on every machine of one kind.
fn configuration() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .consume_fuel(true)
        // NaN payloads and relaxed operations are where WebAssembly leaves results to the processor.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .cranelift_opt_level(OptLevel::Speed)
        // A guest's stack lives on its fiber, with room left for the host functions it calls.
        .max_wasm_stack(1 << 20)
        .async_stack_size(2 << 20);
    config
}

fn engine_error(error: wasmtime::Error) -> RuntimeError {
    RuntimeError::Engine { message: format!("{error:#}") }
}

/// Say plainly what is not a component.
fn check_kind(bytes: &[u8]) -> Result<(), LoadError> {
    let found = match bytes {
        [] => "an empty file",
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => "a core WebAssembly module",
        [0, b'a', b's', b'm', ..] => return Ok(()),
        _ if std::str::from_utf8(bytes).is_ok_and(|text| text.contains("(component")) => return Ok(()),
        _ => "no WebAssembly at all",
    };
    Err(LoadError::NotAComponent { found })
}

/// A loaded strategy: compiled, checked and linked, to be instantiated any number of times.
#[derive(Clone)]
pub struct Component {
    inner: Arc<Inner>,
}

struct Inner {
    digest: String,
    imports: Vec<String>,
    ready: SearchStrategyPre<HostState>,
}

impl Component {
    /// BLAKE3 of its bytes, in hexadecimal.
    pub fn digest(&self) -> &str {
        &self.inner.digest
    }

    /// Full names of the interfaces it imports.
    pub fn imports(&self) -> &[String] {
        &self.inner.imports
    }

    /// What the strategy says of itself, asked of a throw-away instance which has no imports.
    pub async fn describe(&self, limits: &Limits) -> Result<Descriptor, CallError> {
        self.new_instance(None, limits).await?.describe().await
    }

    /// An instance of its own store: what happens to it happens to no other.
    pub async fn instantiate(&self, services: Services, limits: &Limits) -> Result<Instance, CallError> {
        self.new_instance(Some(services), limits).await
    }

    async fn new_instance(&self, services: Option<Services>, limits: &Limits) -> Result<Instance, CallError> {
        let ready = &self.inner.ready;
        let mut store = Store::new(ready.engine(), HostState::new(services, limits));
        store.limiter(|state| state);
        store.set_hostcall_fuel(limits.result_bytes);
        Instance::new(store, ready, limits).await
    }
}

impl std::fmt::Debug for Component {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Component").field("digest", &self.inner.digest).finish_non_exhaustive()
    }
}
