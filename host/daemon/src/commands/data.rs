//! `nasd data`.

use std::{path::Path, process::ExitCode};

use nasd_data::{DataFolder, ImportOptions};
use serde_json::json;

use super::{print, print_json, table};
use crate::{cli::Data, failure::Failed};

/// Run the command.
pub fn run(command: &Data, folder: &Path, is_json: bool) -> Result<ExitCode, Failed> {
    let data = DataFolder::open(folder);
    match command {
        Data::List => {
            for set in data.list().map_err(Failed::configuration)? {
                let [channels, height, width] = set.shape;
                if is_json {
                    print_json(&json!({
                        "name": set.name, "shape": set.shape, "train": set.train, "test": set.test,
                        "classes": set.classes, "digest": set.digest,
                    }))?;
                } else {
                    print(&format!(
                        "{}: {} training and {} test images {channels}x{height}x{width}, {} classes",
                        set.name, set.train, set.test, set.classes
                    ));
                }
            }
            let mut is_whole = true;
            for table in table::list(folder) {
                let table = match table {
                    Ok(table) => table,
                    Err(failed) => {
                        // The others are listed all the same.
                        eprintln!("nasd: error: {failed}");
                        is_whole = false;
                        continue;
                    }
                };
                if is_json {
                    print_json(&json!({
                        "table": table.description().name, "architectures": table.len(),
                        "space": table.space().space().name, "digest": table.digest(),
                        "data_sets": table.data_sets().iter().map(|set| set.name()).collect::<Vec<_>>(),
                    }))?;
                } else {
                    print(&table::line(&table));
                }
            }
            if !is_whole {
                return Ok(ExitCode::FAILURE);
            }
        }
        Data::Import { name, path, format, columns, replace, .. } if table::is_table(path, format.as_deref()) => {
            let table = table::import(name, path, columns.as_deref(), *replace, folder)?;
            print(&format!("{}\ndigest {}", table::line(&table), table.digest()));
        }
        Data::Import { name, path, format, train, test, size, replace, columns: _ } => {
            let format = format.as_ref().map(|format| format.parse()).transpose().map_err(Failed::configuration)?;
            let options = ImportOptions {
                format,
                train: train.clone(),
                test: test.clone(),
                size: *size,
                replace: *replace,
                ..ImportOptions::default()
            };
            let report = data.import(name, path, &options).map_err(Failed::configuration)?;
            print(report.to_string().trim_end());
        }
        Data::Verify { name } if table::is_known(name, folder) => {
            let table = table::verify(name, folder)?;
            print(&format!("{}\ndigest {}", table::line(&table), table.digest()));
        }
        Data::Verify { name } => {
            let verification = data.verify(name).map_err(Failed::configuration)?;
            print(verification.report.to_string().trim_end());
            for difference in &verification.differences {
                print(&format!("{}: expected {}, found {}", difference.field, difference.expected, difference.found));
            }
            if !verification.differences.is_empty() {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
