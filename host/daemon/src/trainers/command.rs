//! External programs as trainers: one program a job, parameters in, measures out.
//!
//! The program gets one JSON object on its standard input and prints one JSON object of numbers as its last line;
//! numbers under `test` are kept from the strategy. It is killed when its time is over, when its job is cancelled
//! and when this process ends in good order.

use std::{process::Stdio, time::Duration};

use nasd_protocol::{
    Ending, Failure, FailureKind, Measure, Point, Trained,
    trainer::{CommandOrder, FromTrainer, ToTrainer},
};
use serde_json::Value;
use tokio::{io::AsyncWriteExt, process::Command, sync::mpsc};

use super::{TrainerEvent, TrainerId};

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
            let running = run(&order);
            tokio::pin!(running);
            let answer = loop {
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
            };
            let _ = say(answer.unwrap_or_else(|failure| FromTrainer::Failed { job: order.job, failure }));
        }
    });
}

fn failure(kind: FailureKind, message: impl Into<String>) -> Failure {
    Failure { kind, message: message.into() }
}

async fn run(order: &CommandOrder) -> Result<FromTrainer, Failure> {
    let begun = std::time::Instant::now();
    let shown = order.command.join(" ");
    let (program, arguments) =
        order.command.split_first().ok_or_else(|| failure(FailureKind::Unsupported, "the task names no program"))?;
    let mut child = Command::new(program)
        .args(arguments)
        .env("NASD_SEED", order.seed.to_string())
        .env("NASD_FIDELITY", order.fidelity.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failure(FailureKind::Unsupported, format!("{shown}: {error}")))?;
    if let Some(mut input) = child.stdin.take() {
        // A program that does not read its input is welcome.
        let _ = input.write_all(order.parameters.as_bytes()).await;
    }
    let limit = Duration::try_from_secs_f64(order.timeout_seconds).unwrap_or(Duration::MAX);
    let output = tokio::time::timeout(limit, child.wait_with_output())
        .await
        .map_err(|_| failure(FailureKind::TimedOut, format!("{shown}: not done after {limit:?}")))?
        .map_err(|error| failure(FailureKind::Infrastructure, format!("{shown}: {error}")))?;
    let last = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
    };
    if !output.status.success() {
        let message = format!("{shown}: {}: {}", output.status, last(&output.stderr));
        return Err(failure(FailureKind::Diverged, message));
    }
    let line = last(&output.stdout);
    let (measures, test) = measures(&line)
        .map_err(|problem| failure(FailureKind::Unsupported, format!("{shown}: its last line `{line}` {problem}")))?;
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
}
