//! The real data sets, from the folder that `NAS_DATA_DIR` names; skipped, and said so, where it is absent.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests, outside the tests themselves

use std::path::PathBuf;

use nasd_data::{DataFolder, ImageSet, ImportOptions, Report};

fn real(path: &str) -> Option<PathBuf> {
    let found = std::env::var_os("NAS_DATA_DIR").map(|folder| PathBuf::from(folder).join(path)).filter(|p| p.exists());
    if found.is_none() {
        eprintln!("skipped: {path} is not in the folder NAS_DATA_DIR names");
    }
    found
}

fn import(path: PathBuf, options: &ImportOptions) -> (ImageSet, Report) {
    let scratch = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(scratch.path());
    let report = folder.import("real", &path, options).unwrap();
    assert_eq!(folder.verify("real").unwrap().differences, []);
    (folder.load("real").unwrap(), report)
}

fn close(found: &[f64], known: &[f64]) {
    assert_eq!(found.len(), known.len());
    for (found, known) in found.iter().zip(known) {
        assert!((found - known).abs() < 6e-4, "{found} {known}");
    }
}

#[test]
fn cifar10_from_jpegs_has_the_known_counts_and_statistics() {
    let Some(path) = real("cifar10/cifar10-jpeg.tar.xz") else {
        return;
    };
    let (set, report) = import(path, &ImportOptions::default());
    assert_eq!((set.channels, set.height, set.width), (3, 32, 32));
    assert_eq!(report.class_counts, [vec![5000; 10], vec![1000; 10]]);
    assert_eq!(set.classes[0], "airplane");
    // As libjpeg decodes them. Other decoders round chroma otherwise: a tenth of a step of 1/255 in the mean.
    close(&report.statistics.mean, &[0.4913, 0.4821, 0.4465]);
    close(&report.statistics.std, &[0.2452, 0.2428, 0.2606]);
}

#[test]
fn cifar10_from_partial_binaries_has_the_official_labels() {
    let Some(path) = real("cifar10/lossless-train-first4000.bin.xz") else {
        return;
    };
    let options = ImportOptions {
        train: Some("lossless-train-first4000.bin.xz".into()),
        test: Some("lossless-test-first1000.bin.xz".into()),
        ..Default::default()
    };
    let (set, _) = import(path.parent().unwrap().to_owned(), &options);
    assert_eq!((set.train.len(), set.test.len()), (4000, 1000));
    // The first labels of the official release: frog, truck, truck, deer, automobile; cat, ship, ship, airplane, frog.
    assert_eq!(set.train.labels[..5], [6, 9, 9, 4, 1]);
    assert_eq!(set.test.labels[..5], [3, 8, 8, 0, 6]);
    // The official first pixels: red of the first training image's first row.
    assert_eq!(set.train.image(0).unwrap()[..3], [59, 43, 50]);
}

#[test]
fn imagenette_is_resized_to_64() {
    let Some(path) = real("imagenette-mini/imagenette-mini-224.tar.xz") else {
        return;
    };
    let options = ImportOptions { size: Some(64), ..Default::default() };
    let (set, report) = import(path, &options);
    assert_eq!((set.channels, set.height, set.width, set.classes.len()), (3, 64, 64, 10));
    assert_eq!(report.class_counts, [vec![50; 10], vec![20; 10]]);
}
