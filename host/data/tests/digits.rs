//! The embedded digits through the public API.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests, outside the tests themselves

use nasd_data::{DataError, DataFolder, digits, parse_digits_csv};

#[test]
fn digits_load_with_nothing_imported() {
    let set = DataFolder::open("a folder that does not exist").load("digits").unwrap();
    assert_eq!((set.channels, set.height, set.width, set.max_value), (1, 8, 8, 16));
    assert_eq!((set.train.len(), set.test.len()), (1437, 360));
    assert_eq!((set.train.pixels.len(), set.test.pixels.len()), (1437 * 64, 360 * 64));
    assert_eq!(set.classes, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    assert_eq!(set.train.labels[..5], [0, 1, 2, 3, 4]);
    assert_eq!(set.train.image(0).unwrap()[..8], [0, 0, 5, 13, 9, 1, 0, 0]);
    assert_eq!(set.train.image(1437), None);
    let together: u64 = set.class_counts(&set.train).iter().chain(&set.class_counts(&set.test)).sum();
    assert_eq!(together, 1797);
    assert_eq!(*set.train.pixels.iter().max().unwrap(), 16);
}

#[test]
fn a_subset_keeps_order_and_repetition_and_refuses_what_is_not_there() {
    let set = digits().unwrap();
    let subset = set.train.subset(&[4, 0, 4]).unwrap();
    assert_eq!(subset.labels, [4, 0, 4]);
    assert_eq!(subset.image(0), set.train.image(4));
    assert_eq!(subset.image(1), set.train.image(0));
    assert_eq!(set.test.subset(&[360]), Err(DataError::NoSuchImage { index: 360, count: 360 }));
    assert_eq!(set.test.subset(&[]).unwrap().len(), 0);
}

#[test]
fn a_bad_line_is_named_by_its_number() {
    let good = ["0"; 65].join(",");
    for (line, says) in [
        ("1,2,3".to_owned(), "digits.csv: line 2: 3 values; a row has 64 pixels and a label"),
        (good.replacen('0', "17", 1), "digits.csv: line 2: value 1 is \"17\"; a pixel is a number from 0 to 16"),
        (
            format!("{}10", good.strip_suffix('0').unwrap()),
            "digits.csv: line 2: value 65 is \"10\"; a label is a number from 0 to 9",
        ),
        (
            good.replacen('0', "a\u{7}", 1),
            "digits.csv: line 2: value 1 is \"a\\u{7}\"; a pixel is a number from 0 to 16",
        ),
    ] {
        let text = format!("{good}\r\n{line}\n");
        assert_eq!(parse_digits_csv("digits.csv", text.as_bytes()).unwrap_err().to_string(), says);
    }
}
