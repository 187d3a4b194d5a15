//! Makes components of the strategies in this folder, which are fragments of WebAssembly text.
//!
//! A fragment holds the fields of a core module that differ from `well-behaved.wat`; the rest is taken from
//! there. The module is then made a component of the world `search-strategy` as for any strategy. A file that
//! starts with `(component` is a whole component already.

use std::fs;
use std::path::PathBuf;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The component of `name`.wat in this folder.
pub fn hostile(name: &str) -> Vec<u8> {
    let text = read(name);
    if text.contains("\n(component") || text.starts_with("(component") {
        return text.into_bytes();
    }
    component(&text)
}

/// A component of `well-behaved.wat` with the fields in `fragment` in place of its own.
pub fn component(fragment: &str) -> Vec<u8> {
    let own = fields(fragment);
    let names: Vec<&str> = own.iter().filter_map(|field| identity(field)).collect();
    let base = read("well-behaved");
    let base: Vec<&str> =
        fields(&base).into_iter().filter(|field| identity(field).is_none_or(|name| !names.contains(&name))).collect();
    // Imports come first in a module.
    let (imports, rest): (Vec<&str>, Vec<&str>) =
        base.into_iter().chain(own).partition(|field| field.starts_with("(import"));
    encode(&format!("(module\n{}\n{}\n)", imports.join("\n"), rest.join("\n")))
}

fn encode(module: &str) -> Vec<u8> {
    let mut module = wat::parse_str(module).unwrap_or_else(|error| panic!("{error}"));
    let mut resolve = Resolve::default();
    let contract = folder().join("../../wit");
    let (package, _) = resolve.push_dir(&contract).unwrap();
    let world = resolve.select_world(&[package], Some("search-strategy")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    let mut encoder = ComponentEncoder::default();
    encoder.validate(true).module(&module).unwrap().encode().unwrap()
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/hostile")
}

fn read(name: &str) -> String {
    let path = folder().join(format!("{name}.wat"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What a field is known by: the name it is exported under, else its `$name`.
fn identity(field: &str) -> Option<&str> {
    if let Some((_, rest)) = field.split_once("(export \"") {
        return rest.split('"').next();
    }
    let mut words = field.split_whitespace();
    if field.starts_with("(import") {
        let (_, function) = field.split_once("(func ")?;
        return function.split([' ', ')']).next();
    }
    words.nth(1).filter(|name| name.starts_with('$'))
}

/// The parenthesised expressions at top level.
fn fields(text: &str) -> Vec<&str> {
    let (mut found, mut depth, mut start) = (Vec::new(), 0usize, 0usize);
    let (mut in_string, mut in_comment) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'\n' => in_comment = false,
            _ if in_comment => {}
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b';' => in_comment = true,
            b'(' => {
                if depth == 0 {
                    start = at;
                }
                depth += 1;
            }
            b')' => {
                depth -= 1;
                if depth == 0 {
                    found.push(&text[start..=at]);
                }
            }
            _ => {}
        }
    }
    found
}

/// The same component with another custom section: another build as far as anybody can tell.
pub fn another_build(component: &[u8], number: u32) -> Vec<u8> {
    let mut bytes = component.to_vec();
    let mut section = vec![5];
    section.extend_from_slice(b"build");
    section.extend_from_slice(&number.to_le_bytes());
    bytes.push(0);
    bytes.push(u8::try_from(section.len()).unwrap());
    bytes.extend(section);
    bytes
}
