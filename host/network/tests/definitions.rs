//! Space files, notations, identities and outlines.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use nasd_network::SpaceDefinition;
use nasd_space::{Gene, Role, StreamRandom, WeightedOption};

fn preset(name: &str) -> SpaceDefinition {
    SpaceDefinition::preset(name).unwrap()
}

fn genotype(name: &str) -> serde_json::Value {
    let all: serde_json::Value = serde_json::from_str(include_str!("data/genotypes.json")).unwrap();
    all[name].clone()
}

#[test]
fn decisions_are_named_and_placed_by_edge() {
    let darts = preset("darts-cnn");
    let decisions = &darts.space().decisions;
    assert_eq!((decisions.len(), darts.space().counts.len()), (28, 8));
    let first = &decisions[0];
    assert_eq!(
        (first.name.as_str(), first.role, first.sources.as_slice()),
        ("normal/node2/edge0", Role::Operation, &[0][..])
    );
    let last = &decisions[27];
    assert_eq!((last.name.as_str(), last.place.cell, last.place.node), ("reduce/node5/edge4", 1, 5));
    let enas = preset("enas-micro");
    let names: Vec<&str> = enas.space().decisions.iter().take(4).map(|decision| decision.name.as_str()).collect();
    assert_eq!(
        names,
        ["normal/node2/input0", "normal/node2/operation0", "normal/node2/input1", "normal/node2/operation1"]
    );
    assert_eq!(enas.space().decisions[4].sources, [0, 1, 2]);
}

#[test]
fn sizes_are_the_papers() {
    assert!((preset("nas-bench-201").space().log10_size() - 15_625f64.log10()).abs() < 1e-9);
    // Two of 2, 3, 4 and 5 edges, seven operations each, twice.
    let cell: f64 = [1.0f64, 3.0, 6.0, 10.0].iter().map(|pairs| pairs * 49.0).product();
    assert!((preset("darts-cnn").space().log10_size() - 2.0 * cell.log10()).abs() < 1e-9);
}

#[test]
fn published_genotypes_are_read_and_written() {
    for (space, name) in
        [("darts-cnn", "DARTS_V1"), ("darts-cnn", "DARTS_V2"), ("nasnet", "NASNet"), ("nasnet", "AmoebaNet")]
    {
        let space = preset(space);
        let genes = space.parse_architecture(&genotype(name).to_string()).unwrap();
        let written: serde_json::Value = serde_json::from_str(&space.notation(&genes)).unwrap();
        let sorted = |value: &serde_json::Value| {
            // Edges have no order within a node; chosen inputs do.
            let mut value = value.clone();
            if space.space().counts.is_empty() {
                return value;
            }
            for kind in ["normal", "reduce"] {
                for pair in value[kind].as_array_mut().unwrap().chunks_mut(2) {
                    pair.sort_by_key(|pair| pair[1].as_u64());
                }
            }
            value
        };
        assert_eq!(sorted(&written), sorted(&genotype(name)), "{name}");
        space.network(&genes).unwrap();
    }
}

#[test]
fn every_notation_comes_back() {
    for name in SpaceDefinition::preset_names() {
        let space = preset(name);
        let mut random = StreamRandom::new(3, "notation");
        for _ in 0..50 {
            let genes = space.space().sample(&mut random).unwrap();
            assert_eq!(space.parse_architecture(&space.notation(&genes)).unwrap(), genes);
            let list: Vec<String> = genes
                .iter()
                .map(|gene| match gene {
                    Gene::Choice(option) => option.to_string(),
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(space.parse_architecture(&list.join(",")).unwrap(), genes);
        }
    }
}

#[test]
fn unreadable_architectures_say_why() {
    let v2 = genotype("DARTS_V2").to_string();
    for (space, text, says) in [
        ("nas-bench-201", "|none~0|", "1 nodes joined by `+`, the space has 3"),
        ("nas-bench-201", "|none~0|+|none~0|conv~1|+|none~0|none~1|none~2|", "the space has no operation `conv`"),
        ("nas-bench-201", "0,1,2", "3 indices for 6 decisions"),
        ("nas-bench-201", "hello", "is not an option's index"),
        ("nas-bench-201", "0,1,2,3,4,5", "edge2"),
        ("darts-cnn", "{", "is no JSON"),
        ("darts-cnn", "{}", "`normal` is missing"),
        ("darts-cnn", &v2.replacen("sep_conv_3x3\",1", "sep_conv_3x3\",0", 1), "reads 0 twice"),
        ("darts-cnn", &v2.replacen("sep_conv_3x3\",1", "none\",1", 1), "count rule"),
        ("darts-cnn", &v2.replacen("[2,3,4,5]", "[2,3]", 1), "must be [2, 3, 4, 5]"),
    ] {
        let message = preset(space).parse_architecture(text).unwrap_err().to_string();
        assert!(message.contains(says) && !message.contains('\n'), "{text}: {message}");
    }
}

#[test]
fn equal_networks_have_one_identity() {
    let space = preset("nas-bench-201");
    let of = |text: &str| space.identity(&space.parse_architecture(text).unwrap()).unwrap();
    let plain = of("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|");
    for same in [
        "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|",
        "|none~0|+|nor_conv_3x3~0|none~1|+|none~0|none~1|skip_connect~2|",
        "|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|",
        "|none~0|+|none~0|avg_pool_3x3~1|+|nor_conv_3x3~0|none~1|none~2|",
    ] {
        assert_eq!(of(same), plain, "{same}");
    }
    for other in [
        "|nor_conv_1x1~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|",
        "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|skip_connect~1|skip_connect~2|",
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|none~0|skip_connect~1|skip_connect~2|",
    ] {
        assert_ne!(of(other), plain, "{other}");
    }
    let mut random = StreamRandom::new(1, "identity");
    let found: HashSet<String> =
        (0..50).map(|_| space.identity(&space.space().sample(&mut random).unwrap()).unwrap()).collect();
    assert!(found.len() > 40);
}

#[test]
fn outlines_show_what_is_wired() {
    let space = preset("darts-cnn");
    let genes = space.parse_architecture(&genotype("DARTS_V2").to_string()).unwrap();
    let cells = space.outline(&genes);
    assert_eq!((cells.len(), cells[1].name.as_str()), (2, "reduce cell"));
    assert_eq!((cells[0].nodes.len(), cells[0].edges.len()), (7, 8 + 4));
    assert!(cells[0].edges.iter().any(|edge| (edge.from, edge.to, edge.operation.as_str()) == (2, 5, "dil_conv_3x3")));
}

#[test]
fn outlines_of_mixtures_show_all_of_their_options() {
    let space = preset("nas-bench-201");
    let weighted = |index| WeightedOption { index, weight: 0.2 };
    let genes: Vec<Gene> =
        space.space().decisions.iter().map(|_| Gene::Mixture((0..5).map(weighted).collect())).collect();
    let edges = &space.outline(&genes)[0].edges;
    assert_eq!(edges.iter().filter(|edge| edge.operation == "none" && edge.weight == Some(0.2)).count(), 6);
    assert_eq!(edges.iter().filter(|edge| edge.weight.is_some()).count(), 30);
    let genes: Vec<Gene> = space.space().decisions.iter().map(|_| Gene::Choice(0)).collect();
    assert!(space.outline(&genes)[0].edges.iter().all(|edge| edge.operation != "none"));
}

#[test]
fn errors_in_space_files_say_line_and_remedy() {
    let good = "name = \"x\"\nfamily = \"cell\"\n[task]\ninput = [3, 32, 32]\nclasses = 10\n[cell]\nencoding = \"edges\"\n\
                nodes = 3\noperations = [\"none\", \"skip_connect\"]\noutput = \"last\"\n[stack]\n\
                style = \"nas-bench-201\"\nchannels = 16\ncells-per-stage = 1\n";
    SpaceDefinition::parse(good, "x.toml").unwrap();
    for (from, to, says) in [
        ("classes = 10", "clases = 10", "x.toml:5: task.clases: unknown field `clases`"),
        ("classes = 10", "classes = \"ten\"", "x.toml:5: task.classes: invalid type: string \"ten\", expected u32"),
        ("\"skip_connect\"", "\"skip\"", "x.toml:9: cell.operations: unknown operation `skip`; known are none"),
        ("\"cell\"", "\"chain\"", "x.toml:2: family: unknown family `chain`; known are block, cell, parameters"),
        ("cells-per-stage = 1\n", "", "x.toml:11: stack: this style needs `cells-per-stage`"),
        ("nodes = 3", "nodes = 3\nedges-per-node = 2", "x.toml:9: cell.edges-per-node: is 2, but the first node has 1"),
        ("\"last\"", "\"loose-ends\"", "x.toml:10: cell.output: loose ends need chosen inputs"),
        ("nodes = 3", "nodes = 0", "x.toml:8: cell.nodes: 0 nodes"),
    ] {
        let message = SpaceDefinition::parse(&good.replace(from, to), "x.toml").unwrap_err().to_string();
        assert!(message.starts_with(says) && !message.contains('\n'), "{message}");
    }
    let message = SpaceDefinition::preset("dart").unwrap_err().to_string();
    assert!(message.starts_with("dart: no such preset; known are darts-cnn"), "{message}");
}

#[test]
fn errors_of_settings_name_the_setting_and_errors_of_the_file_keep_its_lines() {
    for (key, value, says) in [
        ("stack.layer", "8", "stack.layer = 8: stack.layer: unknown field `layer`"),
        ("stack.layers", "many", "stack.layers = many: stack.layers: invalid type: string \"many\""),
        ("stack.layers", "-1", "stack.layers = -1: stack.layers: invalid value: integer `-1`"),
        ("stack.classes", "ten", "stack.classes = ten: task.classes: invalid type"),
        ("stack.input", "3x32", "stack.input = 3x32: task.input: invalid length 2"),
        ("name.x", "1", "name.x = 1: `name` is not a section"),
        ("stack.", "1", "stack. = 1: the path is incomplete"),
        ("new.key", "1", "new.key = 1: new: unknown field `new`"),
    ] {
        let message = preset("darts-cnn").set(key, value).unwrap_err().to_string();
        assert!(message.starts_with(says) && !message.contains('\n'), "{message}");
    }
    let darts = include_str!("../../../configs/spaces/darts-cnn.toml");
    let line = 1 + darts.lines().position(|line| line.starts_with("operations")).unwrap();
    let space = SpaceDefinition::parse(darts, "x.toml").unwrap().set("task.classes", "100").unwrap();
    let message = space.set("cell.edges-per-node", "3").unwrap_err().to_string();
    assert!(message.starts_with("cell.edges-per-node = 3: cell.edges-per-node: is 3"), "{message}");
    let without = darts.replace("\"none\", ", "").replace("edges-per-node = 2\n", "");
    let message =
        SpaceDefinition::parse(&without, "x.toml").unwrap().set("cell.edges-per-node", "2").unwrap_err().to_string();
    assert!(message.starts_with(&format!("x.toml:{}: cell.operations: `edges-per-node` needs", line - 1)), "{message}");
}

#[test]
fn input_and_classes_are_set_like_the_rest_of_a_stack() {
    let space = preset("nas-bench-201").set("stack.input", "3x16x16").unwrap().set("stack.classes", "120").unwrap();
    let genes = space.parse_architecture("0,0,0,0,0,0").unwrap();
    let same = preset("nas-bench-201").with_task([3, 16, 16], 120).unwrap();
    assert_eq!(space.network(&genes).unwrap(), same.network(&genes).unwrap());
    assert_eq!(preset("nas-bench-201").set("stack.input", "[3, 16, 16]").unwrap().space(), space.space());
}

#[test]
fn decisions_can_be_named_one_by_one() {
    let space = preset("nas-bench-201");
    let genes = space.parse_architecture("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|none~2|").unwrap();
    let named = "normal/node1/edge0=nor_conv_3x3, normal/node2/edge0=none, normal/node2/edge1=1, \
                 normal/node3/edge0=none, normal/node3/edge1=none, normal/node3/edge2=none";
    assert_eq!(space.parse_architecture(named).unwrap(), genes);
    for (text, says) in [
        ("normal/node1/edge0=none", "edge0"),
        ("normal/node9/edge0=none", "no decision `normal/node9/edge0`"),
        ("normal/node1/edge0=pool", "is one of none, skip_connect"),
        ("normal/node1/edge0=5", "is one of none, skip_connect"),
        ("normal/node1/edge0=none,normal/node1/edge0=none", "is there twice"),
    ] {
        let message = space.parse_architecture(text).unwrap_err().to_string();
        assert!(message.contains(says) && !message.contains('\n'), "{message}");
    }
}

#[test]
fn nodes_may_choose_between_adding_and_concatenating() {
    let space = preset("nasnet").set("cell.combinations", "[\"add\", \"concat\"]").unwrap();
    let decisions = &space.space().decisions;
    assert_eq!(decisions.len(), 2 * 5 * 5);
    assert_eq!((decisions[4].name.as_str(), decisions[4].role), ("normal/node2/combination", Role::Combination));
    let added = space.parse_architecture(&genotype("NASNet").to_string()).unwrap();
    assert_eq!(space.parse_architecture(&space.notation(&added)).unwrap(), added);
    let plain = preset("nasnet");
    let of_plain = plain.parse_architecture(&genotype("NASNet").to_string()).unwrap();
    assert_eq!(space.costs(&added).unwrap(), plain.costs(&of_plain).unwrap());
    let mut joined = added.clone();
    joined[4] = Gene::Choice(1);
    assert!(space.costs(&joined).unwrap().params > space.costs(&added).unwrap().params);
    assert_eq!(space.parse_architecture(&space.notation(&joined)).unwrap(), joined);
    assert_eq!(space.outline(&joined)[0].nodes[2].label, "node2 (concat)");
    let message = preset("darts-cnn").set("cell.combinations", "[\"add\"]").unwrap_err().to_string();
    assert!(message.contains("belongs to chosen inputs"), "{message}");
}

#[test]
fn definitions_are_shared_between_threads() {
    fn shared<T: Clone + Send + Sync>() {}
    shared::<SpaceDefinition>();
}
