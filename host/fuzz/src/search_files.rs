//! Search files: parsed, and resolved as far as that goes without a strategy (data sets are those that nasd brings).
//! A file that is refused is refused in one line that names it.

use std::{
    path::Path,
    pin::pin,
    sync::OnceLock,
    task::{Context, Poll, Waker},
};

use nas_strategy_sdk::fingerprint;
use nasd::{
    Failed,
    configuration::{self, Task},
    search::{self, Places, resolve_with},
    subject,
};
use nasd_strategy::{Runtime, RuntimeOptions};
use nasd_table::ResultTable;

/// One file of so many is resolved with its data set, and its networks are built: that takes a thousand times as long
/// as the rest. Which ones follows from their bytes.
const WHOLE: u64 = 64;

const LABEL: &str = "search.toml";

/// The target.
pub fn read(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    // A comment can bring what `--set` would.
    let settings: Vec<String> = text.lines().filter_map(|line| line.strip_prefix("#set ")).map(str::to_owned).collect();
    if !settings.is_empty() {
        let _ = configuration::parse(&text, LABEL, &settings);
        let written = configuration::with_settings(&text, &settings);
        let _ = written.map(|written| configuration::parse(&written, LABEL, &[]));
    }
    let file = match configuration::parse(&text, LABEL, &[]) {
        Ok(file) => file,
        Err(error) => {
            let line = error.to_string();
            assert!(line.starts_with("search.toml:") && !line.contains('\n'), "{line}");
            return;
        }
    };
    // Programs and files named by a search are looked for; let none of this machine's decide what is found.
    let places = Places { state: "/nonexistent/state".into(), data: "/nonexistent/data".into() };
    let beside = Path::new("/nonexistent");
    let path = beside.join(LABEL);
    match &file.task {
        Task::Network(_) => {
            let space = search::space(&file.space, beside, file.space_settings.iter());
            let _ = space.map(|space| space.with_task([1, 8, 8], 10));
        }
        Task::Function(_) | Task::Command(_) => drop(subject::resolve(&file, &path, &places)),
        // The tables that nasd brings are long, and the same every time.
        Task::Table(task) if ResultTable::embedded_names().contains(&task.table) => return,
        Task::Table(_) => drop(subject::resolve(&file, &path, &places)),
    }
    if !fingerprint(bytes).is_multiple_of(WHOLE) {
        return;
    }
    if let Ok(subject) = subject::resolve(&file, &path, &places)
        && subject.definition.has_networks()
    {
        let _ = subject.definition.stand_alone();
        let _ = subject.definition.one_shot();
        let _ = subject.definition.space().prepare();
    }
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| Runtime::new(RuntimeOptions::default()).expect("a runtime"));
    let resolved = pin!(resolve_with(file, &path, &places, runtime, Err(Failed::Other("no strategy".into()))));
    let Poll::Ready(Err(_)) = resolved.poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("a search without a strategy is resolved");
    };
}
