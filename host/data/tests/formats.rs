//! Every format, in every container, on small encodings of real pixels (the embedded digits), and what is wrong with
//! each. The larger real data are read from `NAS_DATA_DIR`; tests say so where it is absent.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests, outside the tests themselves

use std::{
    fs,
    io::{Cursor, Write},
    path::{Path, PathBuf},
};

use nasd_data::{Colour, DataError, DataFolder, Format, ImageSet, ImportOptions, Limits, digits};

fn grey(index: usize) -> Vec<u8> {
    digits().unwrap().train.image(index).unwrap().iter().map(|value| (u16::from(*value) * 255 / 16) as u8).collect()
}

/// A CIFAR record whose planes are digit `index`, each pixel 4 x 4, the planes at different brightness.
fn cifar_record(index: usize) -> Vec<u8> {
    let mut record = vec![digits().unwrap().train.labels[index] as u8];
    for divisor in 1..=3u8 {
        let small = grey(index);
        record.extend((0..1024).map(|at| small[(at / 32 / 4) * 8 + at % 32 / 4] / divisor));
    }
    record
}

fn cifar(indices: std::ops::Range<usize>) -> Vec<u8> {
    indices.flat_map(cifar_record).collect()
}

fn idx_images(indices: std::ops::Range<usize>) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 3];
    for number in [indices.len() as u32, 8, 8] {
        bytes.extend(number.to_be_bytes());
    }
    bytes.extend(indices.flat_map(grey));
    bytes
}

fn idx_labels(indices: std::ops::Range<usize>) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 1];
    bytes.extend((indices.len() as u32).to_be_bytes());
    bytes.extend(indices.map(|index| digits().unwrap().train.labels[index] as u8));
    bytes
}

fn png(width: u32, height: u32, pixels: Vec<u8>) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let image = image::GrayImage::from_raw(width, height, pixels).unwrap();
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn tar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

type Files = Vec<(String, Vec<u8>)>;

fn files(list: &[(&str, Vec<u8>)]) -> Files {
    list.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone())).collect()
}

fn cifar_files() -> Files {
    files(&[
        ("cifar-10-batches-bin/data_batch_1.bin", cifar(0..3)),
        ("cifar-10-batches-bin/data_batch_2.bin", cifar(3..5)),
        ("cifar-10-batches-bin/test_batch.bin", cifar(5..7)),
        ("cifar-10-batches-bin/readme.html", b"<html>".to_vec()),
    ])
}

fn idx_files() -> Files {
    files(&[
        ("train-images-idx3-ubyte", idx_images(0..20)),
        ("train-labels-idx1-ubyte", idx_labels(0..20)),
        ("t10k-images-idx3-ubyte", idx_images(20..25)),
        ("t10k-labels-idx1-ubyte", idx_labels(20..25)),
    ])
}

fn class_files() -> Files {
    let label = |index: usize| digits().unwrap().train.labels[index];
    let file =
        |split: &str, index: usize| (format!("{split}/digit-{}/{index:04}.png", label(index)), png(8, 8, grey(index)));
    (0..20).map(|index| file("train", index)).chain((20..25).map(|index| file("val", index))).collect()
}

fn put(folder: &Path, list: &Files) -> PathBuf {
    for (name, bytes) in list {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder.to_owned()
}

/// Import `list` as a folder; a failure must leave the data folder unwritten and be one line.
fn import(list: &Files, options: &ImportOptions) -> Result<ImageSet, DataError> {
    let scratch = tempfile::tempdir().unwrap();
    let source = put(&scratch.path().join("source"), list);
    import_path(&source, options)
}

fn import_path(source: &Path, options: &ImportOptions) -> Result<ImageSet, DataError> {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("data");
    let folder = DataFolder::open(&root);
    match folder.import("it", source, options) {
        Ok(report) => {
            let set = folder.load("it").unwrap();
            assert_eq!(set.digest(), report.digest);
            let verification = folder.verify("it").unwrap();
            assert_eq!(verification.differences, []);
            assert_eq!(verification.report.class_counts, report.class_counts);
            Ok(set)
        }
        Err(error) => {
            assert!(!root.exists(), "a failed import wrote something");
            assert_eq!(error.to_string().lines().count(), 1, "{error}");
            Err(error)
        }
    }
}

/// The message of a failed import, with the scratch folder cut off.
fn failure(list: &Files, options: &ImportOptions) -> String {
    let message = import(list, options).unwrap_err().to_string();
    message.split_once("/source").map(|(_, rest)| rest.to_owned()).unwrap_or(message)
}

#[test]
fn cifar_binaries_keep_records_and_their_order() {
    let set = import(&cifar_files(), &ImportOptions::default()).unwrap();
    assert_eq!((set.channels, set.height, set.width), (3, 32, 32));
    assert_eq!(
        (set.train.labels.as_slice(), set.test.labels.as_slice()),
        ([0, 1, 2, 3, 4].as_slice(), [5, 6].as_slice())
    );
    for index in 0..5 {
        assert_eq!(set.train.image(index).unwrap(), &cifar_record(index)[1..]);
    }
    assert_eq!(set.classes[9], "truck");
}

#[test]
fn every_format_reads_the_same_in_every_container() {
    for (list, format) in
        [(cifar_files(), Format::Cifar10), (idx_files(), Format::Idx), (class_files(), Format::ClassFolders)]
    {
        let plain = import(&list, &ImportOptions::default()).unwrap();
        let named = ImportOptions { format: Some(format), ..Default::default() };
        assert_eq!(import(&list, &named).unwrap(), plain);
        let each = |suffix: &str, pack: fn(&[u8]) -> Vec<u8>| -> Files {
            list.iter().map(|(name, bytes)| (format!("{name}.{suffix}"), pack(bytes))).collect()
        };
        for list in [each("gz", gz), each("xz", xz)] {
            assert_eq!(import(&list, &ImportOptions::default()).unwrap(), plain);
        }
        let mut backwards = list.clone();
        backwards.reverse();
        let archive = tar(&backwards);
        let scratch = tempfile::tempdir().unwrap();
        for (name, bytes) in [
            ("a.tar", archive.clone()),
            ("a.tar.gz", gz(&archive)),
            ("a.tgz", gz(&archive)),
            ("a.tar.xz", xz(&archive)),
            ("unnamed", xz(&archive)),
        ] {
            let path = scratch.path().join(name);
            fs::write(&path, bytes).unwrap();
            assert_eq!(import_path(&path, &ImportOptions::default()).unwrap(), plain, "{name}");
        }
    }
}

#[test]
fn idx_files_join_images_with_labels() {
    let set = import(&idx_files(), &ImportOptions::default()).unwrap();
    assert_eq!((set.channels, set.height, set.width, set.classes.len()), (1, 8, 8, 10));
    assert_eq!((set.train.len(), set.test.len()), (20, 5));
    assert_eq!(set.train.image(7).unwrap(), grey(7));
    assert_eq!(set.train.labels[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn class_folders_number_classes_by_name() {
    let set = import(&class_files(), &ImportOptions::default()).unwrap();
    assert_eq!((set.channels, set.height, set.width), (1, 8, 8));
    assert_eq!((set.train.len(), set.test.len()), (20, 5));
    assert_eq!(set.classes[3], "digit-3");
    assert_eq!(set.train.image(0).unwrap(), grey(0));
    assert_eq!(set.train.image(1).unwrap(), grey(10), "sorted by class, then by file");
}

#[test]
fn images_are_resized_cropped_and_coloured_on_request() {
    let mut list = class_files();
    list.push(("train/digit-0/wide.png".to_owned(), png(16, 8, [grey(0), grey(1)].concat())));
    assert!(failure(&list, &ImportOptions::default()).contains("16x8 pixels, but"));
    let options = ImportOptions { size: Some(4), colour: Colour::Rgb, ..Default::default() };
    let set = import(&list, &options).unwrap();
    assert_eq!((set.channels, set.height, set.width, set.train.len()), (3, 4, 4, 21));
    let image = set.train.image(0).unwrap();
    assert_eq!((&image[..16], &image[..16]), (&image[16..32], &image[32..]));
}

#[test]
fn colour_images_become_planar_and_make_a_set_of_grey_ones_colour() {
    let mut list = class_files();
    let mut bytes = Cursor::new(Vec::new());
    let image = image::RgbImage::from_fn(8, 8, |x, y| image::Rgb([x as u8, y as u8, 200]));
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    list.push(("train/digit-0/0000a.png".to_owned(), bytes.into_inner()));
    let set = import(&list, &ImportOptions::default()).unwrap();
    assert_eq!(set.channels, 3);
    assert_eq!(set.train.image(0).unwrap(), [grey(0), grey(0), grey(0)].concat());
    let image = set.train.image(1).unwrap();
    assert_eq!((image[3], image[64 + 8], image[128]), (3, 1, 200));
}

#[test]
fn a_part_of_the_training_images_can_be_held_out() {
    let list = files(&[("batch.bin", cifar(0..10))]);
    assert!(failure(&list, &ImportOptions::default()).contains("neither \"train\" nor \"test\""));
    let set = import(&list, &ImportOptions { hold_out: Some(0.3), ..Default::default() }).unwrap();
    assert_eq!((set.train.len(), set.test.len()), (7, 3));
    let mut all = [set.train.labels, set.test.labels].concat();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn explicit_paths_say_the_split() {
    let list = files(&[("a.bin", cifar(0..4)), ("b.bin", cifar(4..6)), ("c.bin", cifar(6..9))]);
    let options = ImportOptions { train: Some("c.bin".into()), test: Some("a.bin".into()), ..Default::default() };
    let set = import(&list, &options).unwrap();
    assert_eq!((set.train.labels, set.test.labels), (vec![6, 7, 8], vec![0, 1, 2, 3]));
}

#[test]
fn a_split_can_be_an_archive_of_its_own() {
    let whole = import(&class_files(), &ImportOptions::default()).unwrap();
    let part = |split: &str, cut: bool| {
        let list = class_files().into_iter().filter(|(name, _)| name.starts_with(split));
        tar(&list
            .map(|(name, bytes)| (if cut { name[split.len() + 1..].to_owned() } else { name }, bytes))
            .collect::<Files>())
    };
    let options = |train: &str, test: &str| ImportOptions {
        train: Some(train.into()),
        test: Some(test.into()),
        ..Default::default()
    };
    for cut in [false, true] {
        let list = files(&[("train.tar.xz", xz(&part("train", cut))), ("some.tar", part("val", cut))]);
        assert_eq!(import(&list, &options("train.tar.xz", "some.tar")).unwrap(), whole, "cut {cut}");
    }
    let list = files(&[("train.tar.xz", xz(&part("train", true))), ("val.tar", part("val", true))]);
    assert_eq!(import(&list, &ImportOptions::default()).unwrap(), whole);
    let list = class_files();
    assert_eq!(import(&list, &options("train", "val")).unwrap(), whole);
}

#[test]
fn cifar100_is_told_by_its_record_size_and_uses_fine_labels() {
    let record = |fine: u8, index: usize| [vec![19, fine], cifar_record(index)[1..].to_vec()].concat();
    let list = files(&[("train.bin", [record(99, 0), record(3, 1)].concat()), ("test.bin", record(7, 2))]);
    let set = import(&list, &ImportOptions::default()).unwrap();
    assert_eq!((set.classes.len(), set.train.labels, set.test.labels), (100, vec![99, 3], vec![7]));
    let list = files(&[("train.bin", record(100, 0)), ("test.bin", record(7, 2))]);
    assert!(
        failure(&list, &ImportOptions::default())
            .starts_with("/train.bin: record 1 has label 100, the classes are 0 to 99")
    );
}

#[test]
fn what_is_wrong_is_said_with_file_place_and_remedy() {
    let mut label = cifar(0..3);
    label[2 * 3073] = 10;
    let (mut many, mut few) = (idx_images(0..20), idx_images(0..20));
    many[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
    few.push(0);
    let mut sides = idx_images(0..20);
    sides[4..16].fill(0xFF);
    let with = |list: Files, name: &str, bytes: Vec<u8>| -> Files {
        let mut list: Files = list.into_iter().filter(|(file, _)| file != name).collect();
        list.push((name.to_owned(), bytes));
        list
    };
    let whole = gz(&cifar(0..3));
    let whole_xz = xz(&cifar(0..3));
    let train = "train-images-idx3-ubyte";
    let cases: Vec<(Files, &str)> = vec![
        (
            files(&[("train.bin", cifar(0..2)[..6000].to_vec())]),
            "/train.bin: record 2 is incomplete, 2927 of 3073 bytes;",
        ),
        (
            files(&[("train.bin", [cifar(0..2), vec![0]].concat())]),
            "/train.bin: record 3 is incomplete, 1 of 3073 bytes;",
        ),
        (files(&[("train.bin", label)]), "/train.bin: record 3 has label 10, the classes are 0 to 9;"),
        (files(&[("train.bin", cifar(0..2))]), ": no test images;"),
        (files(&[("test.bin", cifar(0..2))]), ": no training images;"),
        (files(&[("train.bin.gz", whole[..whole.len() / 2].to_vec())]), "/train.bin.gz: damaged or cut short ("),
        (files(&[("train.bin.xz", whole_xz[..whole_xz.len() / 2].to_vec())]), "/train.bin.xz: damaged or cut short ("),
        (files(&[("train.bin.gz", cifar(0..2))]), "/train.bin.gz: starts with 00 "),
        (files(&[("notes.txt", b"hello".to_vec())]), ": no known format (found: "),
        (
            vec![("x/train/a/1.png".to_owned(), png(8, 8, grey(0))), ("y/t.bin".to_owned(), cifar(0..1))],
            "/x/train/a/1.png: looks like class-folders, but ",
        ),
        (
            with(idx_files(), train, idx_images(0..20)[..900].to_vec()),
            "/train-images-idx3-ubyte: cut short, 900 bytes where its header promises 1296;",
        ),
        (with(idx_files(), train, many), "/train-images-idx3-ubyte: cut short, 1296 bytes"),
        (with(idx_files(), train, sides), "/train-images-idx3-ubyte: cut short, 1296 bytes"),
        (with(idx_files(), train, few), "/train-images-idx3-ubyte: 1 bytes after the end of the data;"),
        (with(idx_files(), train, b"\x89PNG....".to_vec()), "/train-images-idx3-ubyte: starts with 89 50 4e 47, "),
        (with(idx_files(), train, idx_images(0..19)), "/train-labels-idx1-ubyte: 20 labels for the 19 images of "),
        (
            with(idx_files(), "t10k-labels-idx1-ubyte", [idx_labels(20..24), vec![77]].concat()),
            "/t10k-labels-idx1-ubyte: 1 bytes after",
        ),
        (
            with(class_files(), "train/digit-3/bad.jpg", b"not an image".to_vec()),
            "/train/digit-3/bad.jpg: not a readable image (",
        ),
        (with(class_files(), "train/stray.png", png(8, 8, grey(0))), "/train/stray.png: not in a class folder;"),
        (
            with(class_files(), "val/new/1.png", png(8, 8, grey(0))),
            "/val/new/1.png: class \"new\" has no training images;",
        ),
        (
            with(class_files(), "train/nothing/readme.txt", b"x".to_vec()),
            "/train/nothing: class folder without images;",
        ),
    ];
    for (list, says) in cases {
        let message = failure(&list, &ImportOptions::default());
        assert!(message.starts_with(says), "expected {says:?}, got {message:?}");
    }
}

#[test]
fn limits_stop_an_import_before_memory_is_taken() {
    let zeros = vec![0; 3073 * 1000];
    let limits = |limits: Limits| ImportOptions { limits, ..Default::default() };
    let few = |change: fn(&mut Limits)| {
        let mut some = Limits::default();
        change(&mut some);
        limits(some)
    };
    for (list, options, says) in [
        (
            files(&[("train.bin.gz", gz(&zeros))]),
            few(|l| l.unpacked_bytes = 100_000),
            "decompressed data of more than 100000",
        ),
        (
            files(&[("train.bin.xz", xz(&gz(&zeros)))]),
            few(|l| l.unpacked_bytes = 100_000),
            "decompressed data of more than 100000",
        ),
        (files(&[("train.bin", zeros.clone())]), few(|l| l.file_bytes = 100_000), "a file of more than 100000"),
        (files(&[("train.bin", zeros.clone())]), few(|l| l.set_bytes = 100_000), "data of more than 100000"),
        (class_files(), few(|l| l.set_bytes = 100), "pixels of more than 100;"),
        (class_files(), few(|l| l.image_bytes = 10), "not a readable image ("),
        (class_files(), few(|l| l.files = 5), "a number of files of more than 5"),
    ] {
        let message = failure(&list, &options);
        assert!(message.contains(says), "{message}");
    }
}

#[test]
fn a_tar_entry_that_climbs_out_is_skipped() {
    let mut bytes = tar(&files(&[("train/zero/XX/1.png", png(8, 8, grey(0)))]));
    let climbing = |bytes: &mut Vec<u8>| {
        // Renamed in place, with the header's checksum made right.
        let name = b"../../../../../XX.p";
        bytes[..name.len()].copy_from_slice(name);
        bytes[148..156].fill(b' ');
        let sum: u32 = bytes[..512].iter().map(|byte| u32::from(*byte)).sum();
        bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    };
    climbing(&mut bytes);
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("a.tar");
    fs::write(&path, bytes).unwrap();
    let error = import_path(&path, &ImportOptions::default()).unwrap_err().to_string();
    assert!(error.contains("no known format (found: ") && error.contains("../XX"), "{error}");
}

#[test]
fn bad_options_are_named() {
    for (options, says) in [
        (ImportOptions { size: Some(0), ..Default::default() }, "option size: "),
        (ImportOptions { hold_out: Some(1.0), ..Default::default() }, "option hold-out: "),
        (ImportOptions { hold_out: Some(0.5), ..Default::default() }, "option hold-out: the source has test images"),
        (
            ImportOptions { classes: Some(vec!["a".into()]), ..Default::default() },
            "option classes: 1 names for 10 classes",
        ),
    ] {
        let message = failure(&cifar_files(), &options);
        assert!(message.starts_with(says), "{message}");
    }
    assert!("tfrecord".parse::<Format>().unwrap_err().to_string().contains("known are cifar-10, cifar-100, idx"));
    let error = import_path(Path::new("nowhere/at/all"), &ImportOptions::default()).unwrap_err();
    assert_eq!(error, DataError::NotFound { file: "nowhere/at/all".into() });
}
