//! Costs against published numbers: DARTS's own counts and NAS-Bench-201's table.
#![allow(clippy::unwrap_used)]

use std::io::Read;

use nasd_network::{Costs, SpaceDefinition};

fn genotype(name: &str) -> String {
    let all: serde_json::Value = serde_json::from_str(include_str!("data/genotypes.json")).unwrap();
    all[name].to_string()
}

#[test]
fn darts_cells_have_the_authors_numbers_of_parameters() {
    let space = SpaceDefinition::preset("darts-cnn").unwrap();
    for (name, params) in [("DARTS_V2", 3_349_342), ("DARTS_V1", 3_169_414)] {
        let costs = space.costs(&space.parse_architecture(&genotype(name)).unwrap()).unwrap();
        assert_eq!((costs.params, costs.auxiliary_params), (params, 476_426), "{name}");
    }
    assert_eq!(space.one_shot_costs().unwrap().params, 1_930_618);
}

/// Rows of `index, arch, params and flops of CIFAR-10, CIFAR-100, ImageNet16-120`.
fn check_rows<'r>(rows: impl Iterator<Item = (&'r str, [u64; 6])>) -> usize {
    let cifar10 = SpaceDefinition::preset("nas-bench-201").unwrap();
    let spaces =
        [cifar10.clone(), cifar10.with_task([3, 32, 32], 100).unwrap(), cifar10.with_task([3, 16, 16], 120).unwrap()];
    let mut n_rows = 0;
    for (text, expected) in rows {
        let architecture = cifar10.parse_architecture(text).unwrap();
        assert_eq!(cifar10.notation(&architecture), text);
        for (space, expected) in spaces.iter().zip(expected.chunks(2)) {
            let Costs { params, flops, .. } = space.costs(&architecture).unwrap();
            assert_eq!([params, flops], expected, "{text}");
        }
        n_rows += 1;
    }
    n_rows
}

#[test]
fn sampled_rows_of_nas_bench_201_are_counted_exactly() {
    let rows = include_str!("data/nas-bench-201-sample.csv").lines().skip(1).map(|line| {
        let cells: Vec<&str> = line.split(',').collect();
        (cells[1], std::array::from_fn(|column| cells[column + 2].parse().unwrap()))
    });
    assert_eq!(check_rows(rows), 61);
}

#[test]
fn every_row_of_nas_bench_201_is_counted_exactly_where_the_table_is_at_hand() {
    let Some(folder) = std::env::var_os("NAS_DATA_DIR") else { return };
    let path = std::path::Path::new(&folder).join("nasbench201/nasbench201.csv.xz");
    let file = std::fs::File::open(path).unwrap();
    let mut text = String::new();
    lzma_rust2::XzReader::new(std::io::BufReader::new(file), true).read_to_string(&mut text).unwrap();
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let column = |name: &str| header.iter().position(|known| *known == name).unwrap();
    let names = ["c10_params", "c10_flops", "c100_params", "c100_flops", "in16_params", "in16_flops"];
    let (arch, columns) = (column("arch"), names.map(column));
    let rows = lines.map(|line| {
        let cells: Vec<&str> = line.split(',').collect();
        (cells[arch], columns.map(|column| cells[column].parse().unwrap()))
    });
    assert_eq!(check_rows(rows), 15_625);
}

/// ENAS's released cells in the authors' notation: (input, operation) twice a node, the normal cell first.
const ENAS_RELEASED: &str = "0 2 0 0 0 4 0 1 0 4 1 1 1 0 0 1 0 2 1 1  1 0 1 0 0 3 0 2 1 1 3 1 1 0 0 4 0 3 1 1";

#[test]
fn enas_released_cells_have_the_number_of_parameters_that_the_authors_code_counts() {
    let space = SpaceDefinition::preset("enas-micro").unwrap();
    let costs = space.costs(&space.parse_architecture(ENAS_RELEASED).unwrap()).unwrap();
    assert_eq!((costs.params, costs.auxiliary_params), (3_894_372, 494_848));
}

#[test]
fn all_of_one_shot_is_about_as_large_as_published() {
    let space = SpaceDefinition::preset("one-shot").unwrap();
    let all_on = vec![nasd_space::Gene::Choice(1); space.space().decisions.len()];
    for (filters, params, published) in
        [(16, 1_305_978, 1.3), (32, 4_829_930, 4.8), (64, 18_531_786, 18.5), (128, 72_551_306, 72.7)]
    {
        let space = space.set("stack.channels", &filters.to_string()).unwrap();
        let costs = space.costs(&all_on).unwrap();
        let shared = space.set("one-shot.channels", &filters.to_string()).unwrap().one_shot_costs().unwrap();
        assert_eq!(shared, costs);
        assert_eq!(costs.params, params);
        assert!((params as f64 / 1e6 / published - 1.0_f64).abs() < 0.007, "{filters}: {params} beside {published} M");
    }
}

#[test]
fn enas_released_macro_network_is_counted_as_the_authors_code_counts() {
    let mut space = SpaceDefinition::preset("enas-macro").unwrap();
    for (stage, channels) in [("layers1", 96), ("layers2", 192), ("layers3", 384)] {
        space = space.set(&format!("stage.{stage}.channels"), &channels.to_string()).unwrap();
        space = space.set(&format!("stage.{stage}.blocks"), "8").unwrap();
    }
    space = space.set("stage.stem.channels", "96").unwrap();
    let released = space.parse_architecture(include_str!("data/enas-macro-released.txt")).unwrap();
    assert_eq!(space.costs(&released).unwrap().params, 42_559_392);
}
