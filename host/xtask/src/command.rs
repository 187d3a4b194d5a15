//! Running other programs: what is missing or failed becomes one plain sentence.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail};

/// Lines of a silent program's output that are shown when it fails.
const SHOWN_LINES: usize = 20;

/// Runs a program that writes to the terminal itself; an error unless it succeeds.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().map_err(|error| explain(command, &error))?;
    if !status.success() {
        bail!("`{}` failed ({status}); its own messages are above", shown(command));
    }
    Ok(())
}

/// Runs a program silently and returns what it wrote to stdout; when it fails, the end of its messages is
/// part of the error.
pub fn capture(command: &mut Command) -> Result<String> {
    let Output { status, stdout, stderr } =
        command.stdin(Stdio::null()).output().map_err(|error| explain(command, &error))?;
    let stdout = String::from_utf8_lossy(&stdout).into_owned();
    if !status.success() {
        let messages = format!("{stdout}{}", String::from_utf8_lossy(&stderr));
        bail!("`{}` failed ({status}):\n{}", shown(command), last_lines(&messages));
    }
    Ok(stdout)
}

/// Where a program lies on the search path.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// An error that says which program is missing and how to get it.
pub fn need(program: &str, remedy: &str) -> Result<PathBuf> {
    find(program).with_context(|| format!("`{program}` is missing: {remedy}"))
}

fn explain(command: &Command, error: &std::io::Error) -> anyhow::Error {
    if error.kind() == ErrorKind::NotFound {
        return anyhow::anyhow!("`{}` is missing", command.get_program().display());
    }
    anyhow::anyhow!("`{}` could not be started: {error}", shown(command))
}

/// The command line as a person would type it, cut when it is long (inline scripts).
fn shown(command: &Command) -> String {
    const LONGEST: usize = 120;
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line = words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ");
    if line.chars().count() <= LONGEST {
        return line;
    }
    line.chars().take(LONGEST).chain(" ...".chars()).collect()
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let skipped = lines.len().saturating_sub(SHOWN_LINES);
    lines.into_iter().skip(skipped).map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named() {
        let error = run(&mut Command::new("no-such-program-here")).unwrap_err();
        assert_eq!(error.to_string(), "`no-such-program-here` is missing");
        let error = need("no-such-program-here", "install it").unwrap_err();
        assert_eq!(error.to_string(), "`no-such-program-here` is missing: install it");
    }

    #[test]
    fn the_end_of_a_silent_programs_messages_is_shown_when_it_fails() {
        let error = capture(Command::new("sh").args(["-c", "seq 100; echo broken >&2; exit 3"])).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("exit status: 3"), "{text}");
        assert!(text.ends_with("    broken"), "{text}");
        assert!(!text.contains("    80\n"), "{text}");
    }
}
