//! Cells of choice blocks (One-Shot): what is off costs nothing, what is on is added up.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use nasd_network::{SpaceDefinition, active_nodes, simplify};
use nasd_space::{Gene, Role, StreamRandom};

const PLAIN: &str = "|1~skip_connect|+|2~skip_connect|+|3~skip_connect|+|4~skip_connect|";

fn one_shot() -> SpaceDefinition {
    SpaceDefinition::preset("one-shot").unwrap()
}

#[test]
fn each_input_and_operation_is_a_decision_and_one_or_two_of_them_are_on() {
    let space = one_shot();
    let decisions = &space.space().decisions;
    assert_eq!(decisions.len(), 2 + 3 + 4 + 5 + 4 * 7);
    assert_eq!(decisions[0].name, "normal/node2/input0");
    assert_eq!((decisions[0].role, decisions[0].sources.as_slice()), (Role::Skip, [0].as_slice()));
    assert_eq!((decisions[3].name.as_str(), decisions[3].role), ("normal/node2/sep_conv_3x3", Role::Operation));
    let mut random = StreamRandom::new(4, "choice blocks");
    for _ in 0..30 {
        let genes = space.space().sample(&mut random).unwrap();
        for node in 2..6 {
            for role in [Role::Skip, Role::Operation] {
                let here = decisions.iter().zip(&genes).filter(|(d, _)| d.place.node == node && d.role == role);
                let on = here.filter(|(_, gene)| **gene == Gene::Choice(1)).count();
                assert!((1..=2).contains(&on), "{}", space.notation(&genes));
            }
        }
    }
}

#[test]
fn notations_come_back_and_mistakes_are_named() {
    let space = one_shot();
    let text = "|0 1~skip_connect sep_conv_5x5|+|2~max_pool_3x3|+|0 3~conv_7x1_1x7|+|4~avg_pool_3x3 sep_conv_7x7|";
    let genes = space.parse_architecture(text).unwrap();
    assert_eq!(space.notation(&genes), text.replace("avg_pool_3x3 sep_conv_7x7", "sep_conv_7x7 avg_pool_3x3"));
    for (from, to, says) in [
        ("|0 1~", "|0 2~", "node 2 cannot read `2`"),
        ("sep_conv_5x5", "conv_9x9", "the space has no operation `conv_9x9`"),
        ("|2~max_pool_3x3|", "|2 max_pool_3x3|", "`|2 max_pool_3x3|` is not |inputs~operations|"),
        ("|2~max_pool_3x3|+", "", "3 nodes joined by `+`, the space has 4"),
        ("|0 3~", "|0 2 3~", "count rule"),
        ("|2~max_pool_3x3|", "|2~|", "count rule"),
    ] {
        let message = space.parse_architecture(&text.replace(from, to)).unwrap_err().to_string();
        assert!(message.contains(says), "{message}");
    }
}

#[test]
fn what_is_off_is_not_computed_and_costs_nothing() {
    let space = one_shot();
    let genes = space.parse_architecture(PLAIN).unwrap();
    let network = simplify(&space.network(&genes).unwrap());
    let of_cell: BTreeSet<&str> = network.nodes.iter().filter_map(|node| node.id.strip_prefix("cell1/")).collect();
    let input = |node: u32, from: u32| ["bn", "relu", "conv"].map(|name| format!("node{node}/input{from}/on/{name}"));
    let inputs = [input(2, 1), input(3, 2), input(4, 3), input(5, 4)];
    let mut expected: BTreeSet<String> = inputs.into_iter().flatten().collect();
    expected.extend(["output", "final/bn", "final/relu", "final/conv"].map(str::to_owned));
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    // Identities, and sums of one value, leave no trace.
    assert_eq!(of_cell.into_iter().collect::<Vec<_>>(), expected);
    let graph = space.one_shot().unwrap();
    let active = active_nodes(graph, &genes).unwrap();
    let mut computed = graph.nodes.iter().zip(active).filter(|(_, active)| *active);
    assert!(computed.all(|(node, _)| !node.id.contains("sep_conv_3x3/on")));
}

#[test]
fn an_operation_more_costs_what_it_is() {
    let space = one_shot().set("stack.channels", "8").unwrap();
    let params = |text: &str| space.costs(&space.parse_architecture(text).unwrap()).unwrap().params;
    let more = PLAIN.replace("|1~skip_connect|", "|1~skip_connect sep_conv_5x5|");
    let cell = |f: u64| 2 * (2 * f + 25 * f + f * f);
    assert_eq!(params(&more) - params(PLAIN), 4 * cell(8) + 2 * cell(16) + 2 * cell(32));
    let other = PLAIN.replace("|1~skip_connect|", "|0 1~skip_connect|");
    // Each stage's first cell now also reads a halved value of the cell before the last one.
    let (cell, halved) = (|f: u64| 2 * f + f * f, |f: u64| 2 * f + f * 2 * f);
    assert_eq!(params(&other) - params(PLAIN), 4 * cell(8) + 2 * cell(16) + 2 * cell(32) + halved(8) + halved(16));
}

#[test]
fn other_stacks_take_choice_blocks_too() {
    let text = "name = \"mine\"\nfamily = \"cell\"\n[task]\ninput = [3, 16, 16]\nclasses = 10\n[cell]\n\
                encoding = \"choice-blocks\"\nnodes = 2\ninputs-per-node = [1, 2]\noperations-per-node = [0, 1]\n\
                operations = [\"sep_conv_3x3\", \"max_pool_3x3\"]\noutput = \"all\"\n[stack]\nstyle = \"darts\"\n\
                channels = 4\nlayers = 3\n";
    let space = SpaceDefinition::parse(text, "mine.toml").unwrap();
    let genes = space.parse_architecture("|0 1~max_pool_3x3|+|2~|+|1~sep_conv_3x3|+|0~max_pool_3x3|").unwrap();
    let costs = space.costs(&genes).unwrap();
    assert_eq!(costs, nasd_network::costs(&space.network(&genes).unwrap(), space.counting()).unwrap());
    for (from, to, says) in [
        ("inputs-per-node = [1, 2]\n", "", "cell.inputs-per-node: choice blocks need it: `[fewest, most]`"),
        ("[0, 1]", "[2, 1]", "cell.operations-per-node: is [2, 1]; it is fewest and most"),
        ("choice-blocks", "edges", "cell.inputs-per-node: belongs to choice blocks"),
    ] {
        let message = SpaceDefinition::parse(&text.replace(from, to), "mine.toml").unwrap_err().to_string();
        assert!(message.contains(says), "{message}");
    }
}
