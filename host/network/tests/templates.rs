//! Templates, what becomes of them, and the ids weights are named after.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use nasd_network::{
    CostMetric, Graph, Primitive, SpaceDefinition, active_nodes, costs, node_costs, parameters, shapes, simplify,
    specialize,
};
use nasd_space::{Gene, StreamRandom, WeightedOption};

fn presets() -> Vec<SpaceDefinition> {
    SpaceDefinition::preset_names().map(|name| SpaceDefinition::preset(name).unwrap()).collect()
}

fn samples(space: &SpaceDefinition, count: usize) -> Vec<Vec<Gene>> {
    let mut random = StreamRandom::new(7, "templates");
    (0..count).map(|_| space.space().sample(&mut random).unwrap()).collect()
}

fn ids(graph: &Graph) -> BTreeSet<String> {
    graph.nodes.iter().map(|node| node.id.to_string()).collect()
}

fn one_hot(genes: &[Gene]) -> Vec<Gene> {
    let mixture = |gene: &Gene| match gene {
        Gene::Choice(index) => Gene::Mixture(vec![WeightedOption { index: *index, weight: 1.0 }]),
        other => other.clone(),
    };
    genes.iter().map(mixture).collect()
}

#[test]
fn every_sampled_architecture_builds_and_its_ids_are_unique() {
    for space in presets() {
        for template in [space.stand_alone().unwrap(), space.one_shot().unwrap()] {
            assert_eq!(ids(template).len(), template.nodes.len(), "{space:?}");
            shapes(template).unwrap();
        }
        for architecture in samples(&space, 20) {
            let network = space.network(&architecture).unwrap();
            for graph in [&network, &simplify(&network)] {
                assert_eq!(ids(graph).len(), graph.nodes.len());
                assert!(
                    !graph.nodes.iter().any(|node| {
                        matches!(node.primitive, Primitive::Switch { .. } | Primitive::ConcatLooseEnds)
                    })
                );
                shapes(graph).unwrap();
            }
            let of_template: BTreeSet<String> =
                parameters(space.stand_alone().unwrap()).unwrap().into_iter().map(|spec| spec.name).collect();
            assert!(parameters(&network).unwrap().iter().all(|spec| of_template.contains(&spec.name)));
        }
    }
}

#[test]
fn parameters_add_up_to_the_costs() {
    for space in presets() {
        let graph = simplify(space.one_shot().unwrap());
        let trained = parameters(&graph).unwrap();
        let sum: u64 = trained.iter().filter(|spec| spec.kind.is_trained()).map(|spec| spec.elements()).sum();
        let costs = space.one_shot_costs().unwrap();
        assert_eq!(sum, costs.params + costs.auxiliary_params, "{space:?}");
    }
}

#[test]
fn counting_on_the_template_and_on_the_network_agree() {
    let mut spaces = presets();
    let table = SpaceDefinition::preset("nas-bench-201").unwrap();
    spaces.push(table.set("count.unused", "false").unwrap());
    for encoding in ["all", "last"] {
        let darts = SpaceDefinition::preset("darts-cnn").unwrap().set("stack.layers", "5").unwrap();
        spaces.push(darts.set("cell.edges-per-node", "1").unwrap().set("cell.output", encoding).unwrap());
    }
    let sparse = "name = \"sparse\"\nfamily = \"cell\"\n[task]\ninput = [3, 16, 16]\nclasses = 10\n[cell]\n\
                  encoding = \"edges\"\nnodes = 3\noutput = \"all\"\n\
                  operations = [\"none\", \"avg_pool_3x3\", \"conv_1x1\"]\n[stack]\nstyle = \"darts\"\n\
                  channels = 4\nlayers = 3\nauxiliary = false\n";
    spaces.push(SpaceDefinition::parse(sparse, "sparse.toml").unwrap());
    for space in spaces {
        for architecture in samples(&space, 30) {
            let slow = costs(&space.network(&architecture).unwrap(), space.counting()).unwrap();
            assert_eq!(space.costs(&architecture).unwrap(), slow, "{space:?}");
        }
    }
}

#[test]
fn a_nodes_costs_add_up_to_the_networks() {
    for space in presets() {
        for architecture in samples(&space, 5) {
            let network = space.network(&architecture).unwrap();
            let network = if space.counting().unused { network } else { simplify(&network) };
            let (total, of_nodes) =
                (space.costs(&architecture).unwrap(), node_costs(&network, space.counting()).unwrap());
            assert_eq!(of_nodes.iter().map(|cost| cost.params).sum::<u64>(), total.params + total.auxiliary_params);
            assert_eq!(of_nodes.iter().map(|cost| cost.flops).sum::<u64>(), total.flops + total.auxiliary_flops);
            let trained: u64 = parameters(&network)
                .unwrap()
                .iter()
                .filter(|spec| spec.kind.is_trained())
                .map(|spec| spec.elements())
                .sum();
            assert_eq!(trained, total.params + total.auxiliary_params);
        }
    }
}

#[test]
fn a_one_hot_mixture_computes_the_specialised_networks_nodes() {
    for space in presets() {
        let template = space.one_shot().unwrap();
        for architecture in samples(&space, 10) {
            let active = active_nodes(template, &one_hot(&architecture)).unwrap();
            assert_eq!(active, active_nodes(template, &architecture).unwrap());
            let computed = template
                .nodes
                .iter()
                .zip(active)
                .filter(|(node, active)| *active && !matches!(node.primitive, Primitive::Switch { .. }));
            let computed: BTreeSet<String> = computed.map(|(node, _)| node.id.to_string()).collect();
            assert_eq!(computed, ids(&specialize(template, &architecture).unwrap()));
        }
    }
}

#[test]
fn simplifying_before_or_after_specialising_leaves_the_same_weights() {
    for space in presets() {
        let template = space.stand_alone().unwrap();
        let simple = simplify(template);
        for architecture in samples(&space, 10) {
            let names = |graph: &Graph| {
                let specs = parameters(&simplify(graph)).unwrap();
                specs.into_iter().map(|spec| (spec.name, spec.shape)).collect::<BTreeSet<_>>()
            };
            let (late, early) = (specialize(template, &architecture), specialize(&simple, &architecture));
            assert_eq!(names(&late.unwrap()), names(&early.unwrap()));
        }
    }
}

#[test]
fn weights_are_named_as_documented() {
    let named = |preset: &str, names: &[&str]| {
        let space = SpaceDefinition::preset(preset).unwrap();
        let mut known = BTreeSet::new();
        for template in [space.stand_alone().unwrap(), space.one_shot().unwrap()] {
            known.extend(parameters(template).unwrap().into_iter().map(|spec| spec.name));
        }
        for name in names {
            assert!(
                known.contains(&format!("{name}.weight")) || known.contains(&format!("{name}.running_mean")),
                "{name}"
            );
        }
    };
    named(
        "nas-bench-201",
        &[
            "stem/conv",
            "stem/bn",
            "cell0/node1/edge0/nor_conv_3x3/conv",
            "cell16/node3/edge2/nor_conv_1x1/bn",
            "cell5/conv_a/conv",
            "cell5/conv_a/bn",
            "cell11/conv_b/conv",
            "cell11/conv_b/bn",
            "cell5/shortcut/conv",
            "head/bn",
            "head/linear",
        ],
    );
    named(
        "darts-cnn",
        &[
            "stem/conv",
            "stem/bn",
            "cell0/input0/conv",
            "cell0/input1/bn",
            "cell3/input0/conv1",
            "cell3/input0/conv2",
            "cell3/input0/bn",
            "cell0/node2/edge1/sep_conv_3x3/depthwise1",
            "cell0/node5/edge4/sep_conv_5x5/pointwise2",
            "cell0/node5/edge4/sep_conv_5x5/bn2",
            "cell1/node3/edge2/dil_conv_3x3/pointwise",
            "cell1/node3/edge2/dil_conv_5x5/bn",
            "cell2/node2/edge0/skip_connect/conv1",
            "cell2/node2/edge0/skip_connect/bn",
            "cell0/node2/edge0/max_pool_3x3/bn",
            "head/linear",
            "auxiliary/conv1",
            "auxiliary/bn1",
            "auxiliary/conv2",
            "auxiliary/bn2",
            "auxiliary/linear",
        ],
    );
}

#[test]
fn expected_costs_of_one_hot_mixtures_are_the_costs() {
    for name in ["darts-cnn", "nas-bench-201"] {
        let space = SpaceDefinition::preset(name).unwrap();
        for architecture in samples(&space, 10) {
            let costs = space.costs(&architecture).unwrap();
            for (metric, exact) in [
                (CostMetric::Params, costs.params + costs.auxiliary_params),
                (CostMetric::Flops, costs.flops + costs.auxiliary_flops),
            ] {
                let expected = space.expected_costs(false).unwrap().of(&one_hot(&architecture), metric).unwrap();
                assert_eq!(expected.value, exact as f64, "{name}");
            }
        }
    }
}

#[test]
fn gradients_of_expected_costs_are_slopes() {
    let space = SpaceDefinition::preset("darts-cnn").unwrap();
    let options = |weight: f32| {
        Gene::Mixture(
            (0..8).map(|index| WeightedOption { index, weight: if index == 4 { weight } else { 0.125 } }).collect(),
        )
    };
    let mut genes: Vec<Gene> = (0..28).map(|_| options(0.125)).collect();
    let costs = space.expected_costs(true).unwrap();
    let before = costs.of(&genes, CostMetric::Flops).unwrap();
    genes[3] = options(1.125);
    let after = costs.of(&genes, CostMetric::Flops).unwrap();
    assert_eq!(after.value - before.value, before.gradients[3][4]);
    assert!(before.gradients[3][4] > 0.0 && before.gradients[3][0] == 0.0);
}

#[test]
fn small_inputs_work_as_far_as_maps_can_be_halved() {
    let space = SpaceDefinition::preset("darts-cnn").unwrap();
    let digits = space.set("stack.auxiliary", "false").unwrap().with_task([1, 8, 8], 10).unwrap();
    let architecture = samples(&digits, 1).remove(0);
    shapes(&digits.network(&architecture).unwrap()).unwrap();
    shapes(digits.one_shot().unwrap()).unwrap();
    let table = SpaceDefinition::preset("nas-bench-201").unwrap().with_task([1, 8, 8], 10).unwrap();
    shapes(table.one_shot().unwrap()).unwrap();
    let with_head = space.with_task([1, 8, 8], 10).unwrap();
    refuses(&with_head, "node auxiliary: takes maps of 8x8 or more, not 576x2x2");
    let tiny = digits.with_task([1, 2, 2], 10).unwrap();
    refuses(&tiny, "node cell13/node2/edge0/skip_connect: cannot halve 144x1x1");
}

fn refuses(space: &SpaceDefinition, begins: &str) {
    let message = space.stand_alone().unwrap_err().to_string();
    assert!(message.starts_with(begins), "{message}");
}
