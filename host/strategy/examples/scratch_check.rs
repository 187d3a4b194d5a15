//! scratch
use nasd_strategy::conformance::{CheckOptions, check};
use nasd_strategy::benchmark::{BenchOptions, measure};
use nasd_strategy::{Runtime, RuntimeOptions};
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = Runtime::new(RuntimeOptions { cache: None })?;
    let mut args = std::env::args().skip(1);
    while let Some(path) = args.next() {
        let parameters = args.next().unwrap();
        let bytes = std::fs::read(&path)?;
        let begin = std::time::Instant::now();
        let component = runtime.load(&bytes)?;
        println!("== {path} {parameters}: {} bytes, compiled in {:?}", bytes.len(), begin.elapsed());
        if std::env::var("BENCH").is_err() {
        let report = check(&runtime, &component, CheckOptions { parameters: parameters.clone(), ..CheckOptions::default() }).await;
        for c in &report.checks { println!("{} {}: {}", if c.passed {"ok  "} else {"FAIL"}, c.name, c.detail); }
        println!("{:?}", report.descriptor.map(|d| (d.name, d.version, d.needs, d.parameters_schema)));
        }
        match measure(&component, &BenchOptions { parameters, ..BenchOptions::default() }).await { Ok(r) => println!("{r:?}"), Err(e) => println!("bench: {e}") }
    }
    Ok(())
}
