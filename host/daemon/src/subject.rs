//! What a search is about: its space together with the data, the table or the program that judge it.

use std::{path::Path, sync::Arc};

use nasd_data::{DataFolder, Listing};
use nasd_network::SpaceDefinition;
use nasd_protocol::trainer::Recipe;
use nasd_space::StreamRandom;
use nasd_table::{ResultTable, TableError};

use crate::{
    configuration::{self, CommandTask, FixedNetwork, FunctionTask, NetworkTask, SearchFile, TableTask, Task},
    failure::{Failed, chain},
    search::{Places, space},
    task::{FixedMethod, KnownTable, Method, TableMethod},
};

/// A table's description in the data folder, at `NAME/table.toml`.
pub const TABLE_FILE: &str = "table.toml";

/// What a search is about.
pub struct Subject {
    /// The space, set to the task.
    pub definition: SpaceDefinition,
    /// How results come about.
    pub method: Method,
    /// Name of what is learnt or looked up.
    pub name: String,
    /// Its digest; empty where it has none.
    pub digest: String,
    /// The data set, if networks are trained.
    pub images: Option<Listing>,
    /// The only fidelities it answers; empty: every one.
    pub fidelities: Vec<u32>,
    /// Full training.
    pub max_fidelity: u32,
}

/// The search's space. A space file's errors name that file's lines; of a preset, or a setting, the search file's
/// line is the one to change.
fn own_space(file: &SearchFile, path: &Path) -> Result<SpaceDefinition, Failed> {
    let beside = path.parent().unwrap_or(Path::new("."));
    let at = |key: &str, line: &str| Failed::Configuration(format!("{}: {line}", configuration::place_of(path, key)));
    let definition =
        space(&file.space, beside, std::iter::empty()).map_err(|error| match file.space.ends_with(".toml") {
            true => error,
            false => at("space", &error.to_string()),
        })?;
    file.space_settings.iter().try_fold(definition, |definition, (key, value)| {
        let set = definition.set(key, &value.to_string());
        set.map_err(|error| {
            let line = chain(&error);
            let is_named = line.starts_with(key.as_str());
            at("space-settings", &if is_named { line } else { format!("{key} = {value}: {line}") })
        })
    })
}

/// Resolve a search file's space and task.
pub fn resolve(file: &SearchFile, path: &Path, places: &Places) -> Result<Subject, Failed> {
    let beside = path.parent().unwrap_or(Path::new("."));
    match &file.task {
        Task::Network(task) => network(file, task, path, beside, places),
        Task::Table(task) => table(file, task, path, beside, places),
        Task::Function(task) => function(file, task, path),
        Task::Command(task) => {
            let (command, digest) = command(task, path)?;
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned()).display().to_string();
            Ok(Subject {
                definition: own_space(file, path)?,
                method: Method::Command { command, folder, timeout_seconds: task.timeout_seconds },
                name: task.command.join(" "),
                digest,
                images: None,
                fidelities: Vec::new(),
                max_fidelity: task.fidelity,
            })
        }
    }
}

/// A program's command as it is run, and the digest of its words and of the files that they name beside the search
/// file (the program itself where it is given by a path). Files named within a word, `--config=a.toml`, are not seen.
fn command(task: &CommandTask, path: &Path) -> Result<(Vec<String>, String), Failed> {
    let beside = path.parent().unwrap_or(Path::new("."));
    let wrong = |problem: String| {
        Failed::Configuration(format!("{}: command: {problem}", configuration::place_of(path, "command")))
    };
    let mut command = task.command.clone();
    if let Some(program) = command.first_mut() {
        if program.contains('/') {
            let file = beside.join(&program);
            if !file.is_file() {
                let remedy = "correct its path, which is relative to this file";
                return Err(wrong(format!("there is no program {}; {remedy}", file.display())));
            }
            if !is_executable(&file) {
                let remedy = "make it so (chmod +x), or name its interpreter before it";
                return Err(wrong(format!("{} is not executable; {remedy}", file.display())));
            }
            *program = std::path::absolute(&file).unwrap_or(file).display().to_string();
        } else if let Some(folders) = std::env::var_os("PATH")
            && !std::env::split_paths(&folders).any(|folder| is_executable(&folder.join(&program)))
        {
            let remedy = "install it, or give its path with a `/`";
            return Err(wrong(format!("there is no program `{program}` on the PATH; {remedy}")));
        }
    }
    let mut digest = blake3::Hasher::new();
    for (index, word) in task.command.iter().enumerate() {
        digest.update(&(word.len() as u64).to_le_bytes()).update(word.as_bytes());
        let file = beside.join(word);
        if (index > 0 || word.contains('/')) && file.is_file() {
            let mut contents = blake3::Hasher::new();
            std::fs::File::open(&file)
                .and_then(|file| contents.update_reader(file).map(|_| ()))
                .map_err(|error| wrong(format!("{}: {error}; make it readable", file.display())))?;
            digest.update(contents.finalize().as_bytes());
        }
    }
    Ok((command, digest.finalize().to_hex().to_string()))
}

/// Whether a path is a file that can be run.
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

fn network(
    file: &SearchFile,
    task: &NetworkTask,
    path: &Path,
    beside: &Path,
    places: &Places,
) -> Result<Subject, Failed> {
    let images = DataFolder::open(&places.data).check(&task.data).map_err(|error| {
        Failed::Configuration(format!("{}: {}", configuration::place_of(path, "data"), chain(&error)))
    })?;
    let input = images.shape.map(|extent| u32::try_from(extent).unwrap_or(u32::MAX));
    let classes = u32::try_from(images.classes).unwrap_or(u32::MAX);
    let definition = own_space(file, path)?;
    let (definition, method) = match &task.network {
        None if definition.has_networks() => {
            (definition.with_task(input, classes).map_err(Failed::configuration)?, Method::Networks)
        }
        None => {
            return Err(Failed::Configuration(format!(
                "{}: the space `{}` has no networks to train; fix one by [task.network], or use a task of another kind",
                path.display(),
                file.space
            )));
        }
        Some(fixed) => {
            let method = fixed_network(fixed, beside, input, classes, &task.recipe, &definition)
                .map_err(|message| Failed::Configuration(format!("{}: {message}", path.display())))?;
            (definition, Method::Fixed(method))
        }
    };
    Ok(Subject {
        definition,
        method,
        name: images.name.clone(),
        digest: images.digest.clone(),
        images: Some(images),
        fidelities: Vec::new(),
        max_fidelity: task.fidelity,
    })
}

/// A fixed network, tried with one sample of the parameters.
fn fixed_network(
    fixed: &FixedNetwork,
    beside: &Path,
    input: [u32; 3],
    classes: u32,
    recipe: &Recipe,
    parameters: &SpaceDefinition,
) -> Result<FixedMethod, String> {
    let definition = space(&fixed.space, beside, fixed.settings.iter()).map_err(|error| error.to_string())?;
    let definition = definition.with_task(input, classes).map_err(|error| error.to_string())?;
    let method = FixedMethod { definition, architecture: fixed.architecture.clone() };
    let sample = parameters.space().sample(&mut StreamRandom::new(0, "trial")).map_err(|error| error.to_string())?;
    method.recipe(parameters.space(), recipe, &sample)?;
    let (definition, architecture) = method.network(parameters.space(), &sample)?;
    definition.network(&architecture).map_err(|error| error.to_string())?;
    Ok(method)
}

fn function(file: &SearchFile, task: &FunctionTask, path: &Path) -> Result<Subject, Failed> {
    let function = nasd_functions::find(&task.function).ok_or_else(|| {
        let known = nasd_functions::all().iter().map(|function| function.name).collect::<Vec<_>>().join(", ");
        let place = configuration::place_of(path, "function");
        Failed::Configuration(format!("{place}: there is no test function `{}`; there are: {known}", task.function))
    })?;
    let definition = match file.space.as_str() {
        "" => SpaceDefinition::of_parameters(function.space()).map_err(Failed::configuration)?,
        _ => own_space(file, path)?,
    };
    let sample = definition.space().sample(&mut StreamRandom::new(0, "trial")).map_err(Failed::configuration)?;
    function
        .evaluate_architecture(definition.space(), &sample)
        .map_err(|error| Failed::Configuration(format!("{}: {error}", path.display())))?;
    Ok(Subject {
        definition,
        method: Method::Function(function),
        name: function.name.to_owned(),
        digest: String::new(),
        images: None,
        fidelities: Vec::new(),
        max_fidelity: 1,
    })
}

/// A table by name (the data folder's before nasd's own) or by file.
pub fn find_table(name: &str, beside: &Path, data: &Path) -> Result<ResultTable, TableError> {
    if name.ends_with(".toml") {
        return ResultTable::read(&beside.join(name));
    }
    let imported = data.join(name).join(TABLE_FILE);
    if imported.is_file() {
        return ResultTable::read(&imported);
    }
    ResultTable::embedded(name).unwrap_or_else(|| {
        let known = table_names(data).join(", ");
        Err(TableError::Unknown { name: name.to_owned(), known })
    })
}

/// Names of all tables.
pub fn table_names(data: &Path) -> Vec<String> {
    let mut names = ResultTable::embedded_names();
    for entry in std::fs::read_dir(data).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && entry.path().join(TABLE_FILE).is_file() && !names.contains(&name) {
            names.push(name);
        }
    }
    names.sort();
    names
}

fn table(file: &SearchFile, task: &TableTask, path: &Path, beside: &Path, places: &Places) -> Result<Subject, Failed> {
    let table = find_table(&task.table, beside, &places.data).map_err(Failed::configuration)?;
    let wrong = |problem: String| Failed::Configuration(format!("{}: {problem}", path.display()));
    let set = table.data_set(&task.data_set).map_err(|error| wrong(error.to_string()))?;
    let known = set.fidelities();
    let longest = known.last().copied().unwrap_or(1);
    let max_fidelity = task.fidelity.unwrap_or(longest);
    if !known.contains(&max_fidelity) {
        return Err(wrong(format!("fidelity = {max_fidelity}: the table knows trainings of {known:?} epochs")));
    }
    let definition = match file.space.as_str() {
        "" => table.space().clone(),
        _ => own_space(file, path)?,
    };
    if definition.space().digest() != table.space().space().digest() {
        return Err(wrong(format!(
            "the table `{}` is of the space `{}`, not of `{}`; leave `space` out",
            task.table,
            table.space().space().name,
            file.space
        )));
    }
    Ok(Subject {
        definition,
        name: format!("{}/{}", table.description().name, task.data_set),
        digest: table.digest().to_owned(),
        images: None,
        fidelities: known.into_iter().filter(|epochs| *epochs <= max_fidelity).collect(),
        max_fidelity,
        method: Method::Table(TableMethod { table: Arc::new(table), data_set: task.data_set.clone() }),
    })
}

/// The table that a search's report looks things up in: `[known-results]`, or the one that the task is about.
pub fn known_results(
    file: &SearchFile,
    path: &Path,
    places: &Places,
    definition: &SpaceDefinition,
    method: &Method,
) -> Result<Option<KnownTable>, Failed> {
    let Some(known) = &file.known_results else { return Ok(None) };
    let wrong = |problem: String| {
        Failed::Configuration(format!("{}: [known-results] {problem}", configuration::place_of(path, "known-results")))
    };
    if matches!(method, Method::Table(_)) {
        return Err(wrong("is for tasks that train; this one is a table itself, leave it out".to_owned()));
    }
    let beside = path.parent().unwrap_or(Path::new("."));
    let table = find_table(&known.table, beside, &places.data).map_err(|error| wrong(chain(&error)))?;
    table.data_set(&known.data_set).map_err(|error| wrong(error.to_string()))?;
    if definition.space().digest() != table.space().space().digest() {
        let (theirs, ours) = (&table.space().space().name, &file.space);
        return Err(wrong(format!(
            "the table `{}` is of the space `{theirs}`, not of `{ours}`; search that space, or leave [known-results] out",
            known.table
        )));
    }
    let method = TableMethod { table: Arc::new(table), data_set: known.data_set.clone() };
    Ok(Some(KnownTable { method, above: known.above }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn task(words: &[&str]) -> CommandTask {
        CommandTask {
            kind: Default::default(),
            command: words.iter().map(|word| (*word).to_owned()).collect(),
            fidelity: 1,
            timeout_seconds: 1.0,
        }
    }

    #[test]
    fn a_program_that_cannot_be_run_is_named_with_line_and_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("search.toml");
        std::fs::write(&path, "name = \"a\"\n[task]\ncommand = []\n").unwrap();
        std::fs::write(folder.path().join("train.sh"), "#!/bin/sh\n").unwrap();
        let cases = [
            ("./none.sh", "correct its path"),
            ("./train.sh", "is not executable; make it so (chmod +x)"),
            ("no-such-program-of-anyone", "on the PATH; install it"),
        ];
        for (program, expected) in cases {
            let failed = command(&task(&[program]), &path).unwrap_err();
            assert_eq!(failed.exit_code(), 64);
            let line = failed.to_string();
            assert!(line.contains("search.toml:3: command: ") && line.contains(expected), "{line}");
        }
        assert_eq!(command(&task(&["sh", "train.sh"]), &path).unwrap().0, ["sh", "train.sh"]);
    }

    #[test]
    fn a_changed_script_is_another_digest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("search.toml");
        let script = folder.path().join("train.sh");
        let digests = |text: &str| {
            std::fs::write(&script, text).unwrap();
            std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
            [["./train.sh", "a"], ["sh", "train.sh"], ["sh", "-x"]]
                .map(|words| command(&task(&words), &path).unwrap().1)
        };
        let (one, other) = (digests("one"), digests("other"));
        assert_eq!(one, digests("one"));
        assert!(one[0] != other[0] && one[1] != other[1] && one[2] == other[2]);
        assert!(one[0] != one[1] && one[1] != one[2]);
    }
}
