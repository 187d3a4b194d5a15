//! `nasd-trainer`: serves orders over its standard input, to its standard output or, with `--channel 0`, back over the
//! socket that standard input is. The daemon hands a socket over as standard input, so no descriptor needs `unsafe`.

use std::io::{stdin, stdout};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use nasd_protocol::frame::FrameError;
use nasd_train::serve::{Options, serve};
use tch::Device;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, message)) => {
            eprintln!("nasd-trainer: {message}");
            ExitCode::from(code)
        }
    }
}

fn run() -> Result<(), (u8, String)> {
    let mut options = Options {
        device: Device::Cpu,
        device_name: "cpu".into(),
        threads: 1,
        data: "data".into(),
        weights: "weights".into(),
    };
    let mut is_socket = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| (2, format!("{name} needs a value")))?;
        let bad = || (2, format!("{name} cannot be \"{value}\""));
        match name.as_str() {
            "--device" => {
                options.device = device(&value).ok_or_else(bad)?;
                options.device_name = value;
            }
            "--threads" => options.threads = value.parse().ok().filter(|&n| n > 0).ok_or_else(bad)?,
            "--data" => options.data = value.into(),
            "--weights" => options.weights = value.into(),
            "--channel" if value == "0" => is_socket = true,
            "--channel" => return Err((2, "--channel can only be 0: pass the socket as standard input".into())),
            _ => {
                return Err((2, format!("{name} is not --device, --threads, --data, --weights or --channel")));
            }
        }
    }
    tch::set_num_interop_threads(1);
    let on_end = |end: Option<FrameError>| match end {
        None => std::process::exit(0),
        Some(error) => {
            eprintln!("nasd-trainer: a malformed message: {error}");
            std::process::exit(64)
        }
    };
    let broken = |error: std::io::Error| (1, format!("the channel cannot be opened: {error}"));
    let served = if is_socket {
        let input = UnixStream::from(stdin().as_fd().try_clone_to_owned().map_err(broken)?);
        let output = input.try_clone().map_err(broken)?;
        serve(input, output, &options, on_end)
    } else {
        serve(stdin(), stdout(), &options, on_end)
    };
    served.map_err(|error| (1, error.to_string()))
}

/// `cpu` or `cuda:N`, if there is one.
fn device(name: &str) -> Option<Device> {
    match name.strip_prefix("cuda:") {
        None => (name == "cpu").then_some(Device::Cpu),
        Some(number) => {
            let number: usize = number.parse().ok()?;
            (i64::try_from(number).ok()? < tch::Cuda::device_count()).then_some(Device::Cuda(number))
        }
    }
}
