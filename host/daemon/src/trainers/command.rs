//! External programs as trainers: one program a job, parameters in, measures out.
//!
//! The program gets one JSON object on its standard input and prints one JSON object of numbers as its last line;
//! numbers under `test` are kept from the strategy. It runs in a process group of its own, so that an interrupt typed
//! at the terminal is this process's to handle. The whole group is killed when the program's time is over, when its job
//! is cancelled, when this process ends in good order, and when the program itself is done: a job leaves nothing
//! running. What it prints is read as it comes, and only the end of it is kept.

use std::{
    io,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use nasd_protocol::{
    Ending, Failure, FailureKind, Measure, Point, Trained,
    trainer::{CommandOrder, FromTrainer, ToTrainer},
};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    sync::mpsc,
    time::{error::Elapsed, timeout},
};

use super::{TrainerEvent, TrainerId};

/// Bytes kept of the end of each output.
const KEPT: usize = 64 << 10;

/// How long outputs are read on once the program is gone, where something that it left holds them open.
const DRAIN: Duration = Duration::from_millis(200);

/// Characters of a failure's message.
const MESSAGE: usize = 200;

/// Characters of the command in a message, which leave room for what is wrong.
const SHOWN: usize = 60;

/// Start one.
pub fn start(
    id: TrainerId,
    mut orders: mpsc::UnboundedReceiver<ToTrainer>,
    events: mpsc::UnboundedSender<(TrainerId, TrainerEvent)>,
) {
    tokio::spawn(async move {
        let say = |message| events.send((id, TrainerEvent::Said(Box::new(message))));
        let mut later: Option<ToTrainer> = None;
        loop {
            let order = match later.take() {
                Some(order) => Some(order),
                None => orders.recv().await,
            };
            let Some(ToTrainer::Run(order)) = order else {
                match order {
                    None | Some(ToTrainer::Shutdown) => return,
                    Some(_) => continue,
                }
            };
            // The program is gone before its answer is given.
            let answer = {
                let running = run(&order);
                tokio::pin!(running);
                loop {
                    tokio::select! {
                        answer = &mut running => break answer,
                        next = orders.recv() => match next {
                            None | Some(ToTrainer::Shutdown) => return,
                            Some(ToTrainer::Cancel { job }) if job == order.job => {
                                break Err(failure(FailureKind::Cancelled, "cancelled"));
                            }
                            Some(ToTrainer::Run(next)) => later = Some(ToTrainer::Run(next)),
                            Some(_) => {}
                        },
                    }
                }
            };
            let _ = say(answer.unwrap_or_else(|failure| FromTrainer::Failed { job: order.job, failure }));
        }
    });
}

/// A failure; its message is one line that is not long, whatever the program printed.
fn failure(kind: FailureKind, message: impl AsRef<str>) -> Failure {
    Failure { kind, message: cut(message.as_ref(), MESSAGE) }
}

/// The beginning of a text, as one line.
fn cut(text: &str, characters: usize) -> String {
    let line = |character: char| if character.is_control() { ' ' } else { character };
    let mut rest = text.chars().map(line);
    let mut kept: String = rest.by_ref().take(characters).collect();
    if rest.next().is_some() {
        kept.push('…');
    }
    kept
}

/// A program's process group, killed with the job.
struct Group(Option<Pid>);

impl Group {
    /// Of a child that was started as the leader of its own.
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Fails where nothing of it is left.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Read to the end; the last [`KEPT`] bytes, or up to twice as many, stay.
async fn read_tail(pipe: Option<impl AsyncRead + Unpin>, tail: &mut Vec<u8>) {
    let Some(mut pipe) = pipe else { return };
    loop {
        tail.reserve(8 << 10);
        let Ok(1..) = pipe.read_buf(tail).await else { return };
        if tail.len() > 2 * KEPT {
            tail.drain(..tail.len() - KEPT);
        }
    }
}

/// Give a program its input and read its outputs until it is gone; `limit` is on all of it.
async fn attend(
    child: &mut Child,
    input: &[u8],
    limit: Duration,
    (output, errors): (&mut Vec<u8>, &mut Vec<u8>),
) -> Result<io::Result<ExitStatus>, Elapsed> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async move {
        if let Some(mut stdin) = stdin {
            // A program that does not read its input is welcome.
            let _ = stdin.write_all(input).await;
        }
    };
    let traffic = async { tokio::join!(feed, read_tail(stdout, output), read_tail(stderr, errors)) };
    tokio::pin!(traffic);
    let mut is_over = false;
    let gone = async {
        loop {
            tokio::select! {
                status = child.wait() => break status,
                _ = &mut traffic, if !is_over => is_over = true,
            }
        }
    };
    let status = timeout(limit, gone).await?;
    if !is_over {
        let _ = timeout(DRAIN, traffic).await;
    }
    Ok(status)
}

async fn run(order: &CommandOrder) -> Result<FromTrainer, Failure> {
    let begun = std::time::Instant::now();
    let shown = cut(&order.command.join(" "), SHOWN);
    let (program, arguments) =
        order.command.split_first().ok_or_else(|| failure(FailureKind::Unsupported, "the task names no program"))?;
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(&order.folder)
        .env("NASD_SEED", order.seed.to_string())
        .env("NASD_FIDELITY", order.fidelity.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failure(FailureKind::Unsupported, format!("{shown}: {error}")))?;
    let _group = Group::of(&child);
    let limit = Duration::try_from_secs_f64(order.timeout_seconds).unwrap_or(Duration::MAX);
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let status = attend(&mut child, order.parameters.as_bytes(), limit, (&mut output, &mut errors))
        .await
        .map_err(|_| failure(FailureKind::TimedOut, format!("{shown}: not done after {limit:?}")))?
        .map_err(|error| failure(FailureKind::Infrastructure, format!("{shown}: {error}")))?;
    let last = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
    };
    if !status.success() {
        let message = format!("{shown}: {status}: {}", last(&errors));
        return Err(failure(FailureKind::Diverged, message));
    }
    let line = last(&output);
    let (measures, test) = measures(&line).map_err(|problem| {
        let message = format!("{shown}: its last line `{}` {problem}", cut(&line, SHOWN));
        failure(FailureKind::Unsupported, message)
    })?;
    let curve = vec![Point { fidelity: order.fidelity, measures: measures.clone() }];
    Ok(FromTrainer::Trained {
        job: order.job,
        trained: Trained { measures, curve, ending: Ending::Complete, predicted: None },
        test,
        weights: None,
        device_seconds: begun.elapsed().as_secs_f64(),
    })
}

/// Measures and test measures of a program's last line.
fn measures(line: &str) -> Result<(Vec<Measure>, Vec<Measure>), String> {
    let document: Value = serde_json::from_str(line).map_err(|_| "is not one JSON object of measures".to_owned())?;
    let numbers = |value: &Value, skip: &str| -> Result<Vec<Measure>, String> {
        let object = value.as_object().ok_or("is not one JSON object of measures")?;
        let named = object.iter().filter(|(name, _)| *name != skip);
        let number = |(name, value): (&String, &Value)| match value.as_f64() {
            Some(number) if number.is_finite() => Ok(Measure::new(name.clone(), number)),
            _ => Err(format!("has `{name}`, which is no finite number")),
        };
        named.map(number).collect()
    };
    let test = document.get("test").map(|test| numbers(test, "")).transpose()?.unwrap_or_default();
    let measures = numbers(&document, "test")?;
    if measures.is_empty() {
        return Err("has no measures".into());
    }
    Ok((measures, test))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(script: &str, timeout_seconds: f64) -> CommandOrder {
        CommandOrder {
            job: 1,
            command: ["sh", "-c", script].map(str::to_owned).to_vec(),
            folder: ".".into(),
            parameters: "{\"x\":0.5}".into(),
            seed: 7,
            fidelity: 3,
            timeout_seconds,
        }
    }

    #[tokio::test]
    async fn a_program_reads_parameters_and_prints_measures() {
        let script = "echo progress; read p; echo \"{\\\"seed\\\": $NASD_SEED, \\\"f\\\": $NASD_FIDELITY, \\\"n\\\": ${#p}, \\\"test\\\": {\\\"a\\\": 1}}\"";
        let answer = run(&order(script, 10.0)).await.unwrap();
        let FromTrainer::Trained { trained, test, .. } = answer else { panic!("{answer:?}") };
        assert_eq!(trained.measures, [Measure::new("f", 3.0), Measure::new("n", 9.0), Measure::new("seed", 7.0)]);
        assert_eq!(test, [Measure::new("a", 1.0)]);
    }

    #[tokio::test]
    async fn a_program_that_fails_says_why() {
        let cases = [
            ("echo bad luck >&2; exit 3", FailureKind::Diverged, "exit status: 3: bad luck"),
            ("sleep 5", FailureKind::TimedOut, "not done after"),
            ("echo 0.5", FailureKind::Unsupported, "its last line `0.5` is not one JSON object"),
            ("echo '{\"a\": \"b\"}'", FailureKind::Unsupported, "has `a`, which is no finite number"),
            ("echo '{\"test\": {}}'", FailureKind::Unsupported, "has no measures"),
            ("true", FailureKind::Unsupported, "its last line ``"),
        ];
        for (script, kind, message) in cases {
            let failure = run(&order(script, 0.5)).await.unwrap_err();
            assert_eq!(failure.kind, kind, "{failure:?}");
            assert!(failure.message.contains(message), "{failure:?}");
        }
    }

    #[tokio::test]
    async fn what_a_program_prints_leaves_unread_or_leaves_running_does_not_hold_its_job_up() {
        let scripts = [
            "head -c 1000000 /dev/zero | tr '\\0' x; head -c 1000000 /dev/zero >&2; echo; echo '{\"a\": 1}'",
            "sleep 60 & echo '{\"a\": 1}'",
            "echo '{\"a\": 1}'",
        ];
        for script in scripts {
            let order = CommandOrder { parameters: "x".repeat(1 << 20), ..order(script, 30.0) };
            let answer = run(&order).await.unwrap();
            let FromTrainer::Trained { trained, .. } = answer else { panic!("{answer:?}") };
            assert_eq!(trained.measures, [Measure::new("a", 1.0)], "{script}");
        }
        let order = CommandOrder { parameters: "x".repeat(1 << 20), ..order("sleep 60", 0.5) };
        assert_eq!(run(&order).await.unwrap_err().kind, FailureKind::TimedOut);
    }

    #[tokio::test]
    async fn a_message_is_short_whatever_the_program_printed() {
        let scripts = [
            "head -c 5000 /dev/zero | tr '\\0' x >&2; exit 1",
            "head -c 5000 /dev/zero | tr '\\0' x",
            "echo '{\"x\": \"'; exit 3 # a long, long, long, long, long, long, long, long, long, long, long script",
        ];
        for script in scripts {
            let message = run(&order(script, 30.0)).await.unwrap_err().message;
            assert!(message.chars().count() <= MESSAGE + 1 && !message.contains('\n'), "{message}");
        }
    }

    #[tokio::test]
    async fn a_program_leads_a_process_group_of_its_own() {
        let script =
            "read -r pid name state parent group rest </proc/$$/stat; echo \"{\\\"own\\\": $((group == $$))}\"";
        let answer = run(&order(script, 30.0)).await.unwrap();
        let FromTrainer::Trained { trained, .. } = answer else { panic!("{answer:?}") };
        assert_eq!(trained.measures, [Measure::new("own", 1.0)]);
    }

    /// Wait until a program has written the id of its child, and read it.
    async fn written(file: &std::path::Path) -> String {
        loop {
            match std::fs::read_to_string(file) {
                Ok(text) => return text.trim().to_owned(),
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// Whether a process ends within ten seconds; one that nobody has waited for has ended too.
    async fn ends(process: &str) -> bool {
        for _ in 0..1000 {
            match std::fs::read_to_string(format!("/proc/{process}/stat")) {
                Ok(stat) if !stat.contains(") Z ") => tokio::time::sleep(Duration::from_millis(10)).await,
                _ => return true,
            }
        }
        false
    }

    #[tokio::test]
    async fn a_job_that_ends_early_leaves_no_process_behind() {
        let folder = tempfile::tempdir().unwrap();
        for (end, limit) in [("timeout", 1.0), ("cancel", 60.0), ("shutdown", 60.0), ("forgotten", 60.0)] {
            let file = folder.path().join(end);
            let script = format!("sleep 60 & echo $! >'{0}.new'; mv '{0}.new' '{0}'; wait", file.display());
            let (orders, receiver) = mpsc::unbounded_channel();
            let (events, mut said) = mpsc::unbounded_channel();
            start(0, receiver, events);
            orders.send(ToTrainer::Run(Box::new(order(&script, limit)))).unwrap();
            let grandchild = written(&file).await;
            let expected = match end {
                "cancel" => orders.send(ToTrainer::Cancel { job: 1 }).map(|()| Some(FailureKind::Cancelled)).unwrap(),
                "shutdown" => orders.send(ToTrainer::Shutdown).map(|()| None).unwrap(),
                "forgotten" => {
                    drop(orders);
                    None
                }
                _ => Some(FailureKind::TimedOut),
            };
            let answer = match said.recv().await {
                Some((_, TrainerEvent::Said(message))) => match *message {
                    FromTrainer::Failed { failure, .. } => Some(failure.kind),
                    other => panic!("{end}: {other:?}"),
                },
                _ => None,
            };
            assert_eq!(answer, expected, "{end}");
            assert!(ends(&grandchild).await, "{end}: {grandchild} runs on");
        }
    }
}
