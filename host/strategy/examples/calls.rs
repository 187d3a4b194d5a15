//! Times the calls of a strategy: `cargo run -p nasd-strategy --example calls [COMPONENT [PARAMETERS]]`.
//!
//! Without a component it takes the well-behaved one of tests/hostile, written in WebAssembly text.

#[path = "../../../tests/hostile/assemble.rs"]
#[allow(dead_code, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
mod assemble;

use nasd_strategy::benchmark::{BenchOptions, measure};
use nasd_strategy::{Runtime, RuntimeOptions};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bytes = match std::env::args().nth(1) {
        Some(path) => std::fs::read(path)?,
        None => assemble::hostile("well-behaved"),
    };
    let folder = tempfile::tempdir()?;
    let options = RuntimeOptions { cache: Some(folder.path().to_owned()) };
    for state in ["cold", "warm"] {
        let begin = std::time::Instant::now();
        let runtime = Runtime::new(options.clone())?;
        let engine = begin.elapsed();
        runtime.load(&bytes)?;
        println!("{state} cache: engine {engine:?}, load {:?}", begin.elapsed() - engine);
    }
    let component = Runtime::new(options)?.load(&bytes)?;
    let parameters = std::env::args().nth(2).unwrap_or_else(|| "{}".to_owned());
    println!("{:#?}", measure(&component, &BenchOptions { parameters, ..BenchOptions::default() }).await?);
    Ok(())
}
