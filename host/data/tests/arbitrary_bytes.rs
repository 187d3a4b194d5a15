//! No file makes an import panic: each parser gets arbitrary bytes, and real files with bytes changed or cut off.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests, outside the tests themselves

use std::{fs, io::Write, path::Path};

use nasd_data::{DataFolder, ImportOptions, Limits, parse_digits_csv};
use proptest::{collection::vec, prelude::*};

fn import_bytes(name: &str, bytes: &[u8]) {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("source").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    let limits = Limits { unpacked_bytes: 1 << 22, file_bytes: 1 << 22, image_bytes: 1 << 22, ..Default::default() };
    let options = ImportOptions { hold_out: Some(0.5), limits, threads: Some(1), ..Default::default() };
    let folder = DataFolder::open(scratch.path().join("data"));
    match folder.import("it", &scratch.path().join("source"), &options) {
        Ok(report) => assert_eq!(folder.load("it").unwrap().digest(), report.digest),
        Err(error) => {
            assert_eq!(error.to_string().lines().count(), 1, "{error}");
            assert!(!Path::new(&scratch.path().join("data")).exists());
        }
    }
}

fn real_files() -> Vec<(&'static str, Vec<u8>)> {
    let mut png = std::io::Cursor::new(Vec::new());
    image::GrayImage::from_fn(8, 8, |x, y| image::Luma([(x * y) as u8]))
        .write_to(&mut png, image::ImageFormat::Png)
        .unwrap();
    let mut jpeg = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_fn(8, 8, |x, y| image::Rgb([(x * y) as u8, 9, 7]))
        .write_to(&mut jpeg, image::ImageFormat::Jpeg)
        .unwrap();
    let (png, jpeg) = (png.into_inner(), jpeg.into_inner());
    let mut builder = tar::Builder::new(Vec::new());
    for name in ["train/a/1.png".to_owned(), format!("train/{}/2.png", "long".repeat(40))] {
        let mut header = tar::Header::new_gnu();
        header.set_size(png.len() as u64);
        builder.append_data(&mut header, name, png.as_slice()).unwrap();
    }
    let tar = builder.into_inner().unwrap();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&tar).unwrap();
    let mut xz = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
    xz.write_all(&tar).unwrap();
    let labels = [vec![0, 0, 8, 1, 0, 0, 0, 2], vec![0, 1]].concat();
    let images = [vec![0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1], vec![5, 6]].concat();
    vec![
        ("train/a/x.png", png),
        ("train/a/x.jpg", jpeg),
        ("x.tar", tar),
        ("x.tar.gz", gz.finish().unwrap()),
        ("x.tar.xz", xz.finish().unwrap()),
        ("train-labels-idx1-ubyte", labels),
        ("train-images-idx3-ubyte", images),
        ("train.bin", vec![1; 3073 * 2]),
    ]
}

#[test]
fn real_files_cut_anywhere_are_an_error_or_data() {
    for (name, bytes) in real_files() {
        let step = (bytes.len() / 100).max(1);
        for end in (0..bytes.len()).step_by(step) {
            import_bytes(name, &bytes[..end]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn arbitrary_bytes_are_an_error_or_data(bytes in vec(any::<u8>(), 0..2000), which in 0usize..8) {
        let (name, real) = &real_files()[which];
        import_bytes(name, &bytes);
        // Behind a right beginning, arbitrary bytes get further.
        let head = &real[..real.len().min(16)];
        import_bytes(name, &[head, &bytes].concat());
    }

    #[test]
    fn changed_bytes_are_an_error_or_data(changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), which in 0usize..8) {
        let (name, mut bytes) = real_files().swap_remove(which);
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        import_bytes(name, &bytes);
    }

    #[test]
    fn an_arbitrary_packed_file_or_manifest_is_an_error(bytes in vec(any::<u8>(), 0..300), at in any::<prop::sample::Index>()) {
        let scratch = tempfile::tempdir().unwrap();
        let source = scratch.path().join("train.bin");
        fs::write(&source, vec![1; 3073 * 4]).unwrap();
        let folder = DataFolder::open(scratch.path().join("data"));
        folder.import("it", &source, &ImportOptions { hold_out: Some(0.5), ..Default::default() }).unwrap();
        for entry in fs::read_dir(scratch.path().join("data/it")).unwrap() {
            let path = entry.unwrap().path();
            let real = fs::read(&path).unwrap();
            let keep = at.index(real.len().min(200));
            fs::write(&path, [&real[..keep], &bytes].concat()).unwrap();
            // The digest does not guard `verify`, which reads the file as far as it goes.
            let _ = folder.verify("it");
            let _ = folder.load("it");
            fs::write(&path, real).unwrap();
        }
    }

    #[test]
    fn arbitrary_csv_is_an_error_or_digits(text in "[0-9,\r\n a-]{0,400}", bytes in vec(any::<u8>(), 0..400)) {
        let _ = parse_digits_csv("x.csv", text.as_bytes());
        let _ = parse_digits_csv("x.csv", &bytes);
    }
}
