//! Block spaces: published counts, graphs of shared weights, and what files can and cannot say.
#![allow(clippy::unwrap_used, clippy::panic)]

use nasd_network::{CostMetric, Primitive, SpaceDefinition, expected_cost, shapes, specialize};
use nasd_space::{Gene, StreamRandom, WeightedOption};

const RELEASED: &str = "2,1,0,1,2,0,2,0,2,0,2,3,0,0,0,0,3,2,3,3";

fn spos() -> SpaceDefinition {
    SpaceDefinition::preset("spos").unwrap()
}

/// SPOS on images of CIFAR-10's size: two reductions less, an eighth of the channels.
fn small_spos() -> SpaceDefinition {
    let settings = [
        ("stack.input", "3x32x32"),
        ("stack.classes", "10"),
        ("stack.width", "0.125"),
        ("stage.stem.stride", "1"),
        ("stage.stage1.stride", "1"),
        ("stage.3.blocks", "2"),
    ];
    settings.iter().fold(spos(), |space, (key, value)| space.set(key, value).unwrap())
}

#[test]
fn spos_has_the_published_numbers_of_flops_and_parameters() {
    let space = spos();
    assert_eq!(space.space().decisions.len(), 20);
    for (option, flops) in [(0, 295_842_496), (1, 313_654_976), (2, 340_373_696), (3, 358_825_920)] {
        assert_eq!(space.costs(&vec![Gene::Choice(option); 20]).unwrap().flops, flops, "all {option}");
    }
    let released = space.costs(&space.parse_architecture(RELEASED).unwrap()).unwrap();
    assert_eq!((released.flops, released.params), (322_918_720, 3_558_464));
}

#[test]
fn a_supernet_of_spos_has_every_units_weights_and_no_scales() {
    let space = spos();
    let graph = space.one_shot().unwrap();
    let switches = graph.nodes.iter().filter(|node| matches!(node.primitive, Primitive::Switch { .. }));
    assert_eq!(switches.map(|switch| switch.inputs.len()).collect::<Vec<_>>(), vec![4; 20]);
    assert!(!graph.nodes.iter().any(|node| matches!(node.primitive, Primitive::BatchNorm { affine: true, .. })));
    let one = |option| space.costs(&vec![Gene::Choice(option); 20]).unwrap().flops;
    // Stem, last convolution and classifier are counted once in the supernet, in every path of the four.
    let fixed = 16 * 27 * 112 * 112 + 640 * 1024 * 49 + 1024 * 1000;
    assert_eq!(space.one_shot_costs().unwrap().flops, (0..4).map(one).sum::<u64>() - 3 * fixed);
}

#[test]
fn a_small_spos_is_counted_like_a_large_one() {
    let space = small_spos();
    assert_eq!(space.space().decisions.len(), 14);
    let genes = space.parse_architecture("0,1,2,3,0,1,2,3,0,1,2,3,0,1").unwrap();
    let network = space.network(&genes).unwrap();
    let extents: Vec<u32> = shapes(&network).unwrap().iter().map(|shape| shape.extent()[0]).collect();
    assert_eq!((extents[1], extents.iter().copied().filter(|extent| *extent > 1).min()), (32, Some(4)));
    // By hand, multiply-adds of the first block: stride 1, 8 channels in and out of 4 kept and 4 made, 32x32.
    let first = network.nodes.iter().zip(nasd_network::node_costs(&network, space.counting()).unwrap());
    let first = first.filter(|(node, _)| node.id.starts_with("stage1/block0/"));
    assert_eq!(first.map(|(_, cost)| cost.flops).sum::<u64>(), 1024 * (4 * 4 + 4 * 9 + 4 * 4));
}

#[test]
fn expected_costs_of_a_supernets_paths_are_their_costs() {
    let space = spos();
    let genes = space.parse_architecture(RELEASED).unwrap();
    let mixture = |options: &[(u32, f32)]| {
        Gene::Mixture(options.iter().map(|&(index, weight)| WeightedOption { index, weight }).collect())
    };
    let one_hot: Vec<Gene> = genes.iter().map(|gene| mixture(&[(gene.option().unwrap(), 1.0)])).collect();
    let template = space.stand_alone().unwrap();
    let expected = expected_cost(template, &one_hot, CostMetric::Flops, space.counting()).unwrap();
    assert_eq!(expected.value, 322_918_720.0);
    let halves: Vec<Gene> = (0..20).map(|_| mixture(&[(0, 0.5), (3, 0.5)])).collect();
    let expected = expected_cost(template, &halves, CostMetric::Flops, space.counting()).unwrap();
    assert_eq!(expected.value, (295_842_496.0 + 358_825_920.0) / 2.0);
}

#[test]
fn two_orders_of_the_same_blocks_are_different_networks_and_equal_ones_are_equal() {
    let space = small_spos();
    let identity = |text: &str| space.identity(&space.parse_architecture(text).unwrap()).unwrap();
    let first = identity("0,1,2,3,0,1,2,3,0,1,2,3,0,1");
    assert_eq!(first, identity("0, 1,2,3,0,1,2,3,0,1,2,3,0,1"));
    assert_ne!(first, identity("1,0,2,3,0,1,2,3,0,1,2,3,0,1"));
}

#[test]
fn a_stand_alone_network_has_the_weights_of_its_path() {
    let space = small_spos().set("one-shot.affine", "true").unwrap();
    let mut random = StreamRandom::new(11, "blocks");
    for _ in 0..10 {
        let genes = space.space().sample(&mut random).unwrap();
        assert!(specialize(space.one_shot().unwrap(), &genes).unwrap() == space.network(&genes).unwrap());
    }
}

#[test]
fn proxyless_released_mobile_network_has_its_published_size() {
    let space = SpaceDefinition::preset("proxyless").unwrap();
    assert_eq!(space.space().decisions.len(), 21);
    let n_options: Vec<usize> = space.space().decisions.iter().map(|d| d.domain.n_options().unwrap()).collect();
    assert_eq!(n_options, [6, 7, 7, 7, 6, 7, 7, 7, 6, 7, 7, 7, 6, 7, 7, 7, 6, 7, 7, 7, 6]);
    let released = space.parse_architecture("2,0,6,6,4,0,2,2,5,2,2,2,3,2,2,2,5,5,4,4,5").unwrap();
    // The authors' log says 4.08M parameters and 320.4M FLOPs.
    let costs = space.set("stage.stage1.channels", "32").unwrap().costs(&released).unwrap();
    assert_eq!((costs.params, costs.flops), (4_080_512, 320_427_584));
}

#[test]
fn channel_search_scales_what_is_inside_a_unit() {
    let (plain, wide) = (spos(), SpaceDefinition::preset("spos-channels").unwrap());
    assert_eq!(wide.space().decisions.len(), 40);
    let with = |widths: u32| -> Vec<Gene> {
        let plain = plain.parse_architecture(RELEASED).unwrap();
        plain.into_iter().flat_map(|gene| [gene, Gene::Choice(widths)]).collect()
    };
    let whole = wide.costs(&with(4)).unwrap();
    assert_eq!((whole.flops, whole.params), (322_918_720, 3_558_464));
    // The first block of stage 1 by hand: 7x7, stride 2, 16 channels to 64, 48 of them made inside 32 times the width.
    let unit = |genes: &[Gene]| {
        let network = wide.network(genes).unwrap();
        let costs = nasd_network::node_costs(&network, wide.counting()).unwrap();
        let of_block = network.nodes.iter().zip(costs).filter(|(node, _)| node.id.starts_with("stage1/block0/"));
        of_block.map(|(_, cost)| cost.flops).sum::<u64>()
    };
    for (width, inner) in [(0, 6), (4, 32), (6, 44), (9, 64)] {
        let (before, after) = (112 * 112, 56 * 56);
        let main = before * 16 * inner + after * (49 * inner + 48 * inner);
        assert_eq!(unit(&with(width)), main + after * (49 * 16 + 16 * 16), "{inner}");
    }
}

#[test]
fn shared_weights_are_as_wide_as_the_widest_choice_and_masked() {
    let space = SpaceDefinition::preset("spos-channels").unwrap();
    let genes: Vec<Gene> = (0..40).map(|decision| Gene::Choice(if decision % 2 == 0 { 3 } else { 1 })).collect();
    let path = specialize(space.one_shot().unwrap(), &genes).unwrap();
    let shapes = shapes(&path).unwrap();
    let shape = |id: &str| {
        let found = path.nodes.iter().zip(&shapes).find(|(node, _)| &*node.id == id);
        found.unwrap_or_else(|| panic!("{id}")).1.channels()
    };
    let main = "stage1/block1/shuffle_x/main";
    for (node, channels) in
        [("conv2", 64), ("mask3/first1", 12), ("mask3/rest1", 52), ("conv4", 64), ("mask5/both1", 64), ("conv6", 32)]
    {
        assert_eq!(shape(&format!("{main}/{node}")), channels, "{node}");
    }
}

/// A file with what is asked about in its units and stages.
fn file(units: &str, stages: &str) -> Result<SpaceDefinition, String> {
    let text = format!(
        "name = \"mine\"\nfamily = \"block\"\n[task]\ninput = [3, 16, 16]\nclasses = 10\n[[unit]]\nname = \"conv\"\n\
         kind = \"convolution\"\nkernel = 3\n[[unit]]\nname = \"skip\"\nkind = \"skip\"\n{units}\n[[stage]]\n\
         name = \"stem\"\nunits = [\"conv\"]\nchannels = 8\n{stages}"
    );
    let space = SpaceDefinition::parse(&text, "mine.toml").map_err(|error| error.to_string())?;
    space.stand_alone().map_err(|error| error.to_string())?;
    Ok(space)
}

#[test]
fn a_new_space_needs_no_code() {
    let units = "[[unit]]\nname = \"mb_k3_e3\"\nkind = \"inverted-residual\"\nkernel = 3\nexpansion = 3\n[[unit]]\n\
                 name = \"mb_k5_e1_g2\"\nkind = \"inverted-residual\"\nkernel = 5\nexpansion = 1\ngroups = 2\n\
                 activation = \"relu\"\n[[unit]]\nname = \"sep\"\nkind = \"operation\"\noperation = \"sep_conv_5x5\"\n";
    let stages = "[[stage]]\nname = \"body\"\nunits = [\"mb_k3_e3\", \"mb_k5_e1_g2\", \"sep\", \"skip\"]\nblocks = 3\n\
                  channels = 12\nstride = 2\n";
    let space = file(units, stages).unwrap();
    let names: Vec<String> = space.space().decisions.iter().map(|d| format!("{}: {:?}", d.name, d.domain)).collect();
    assert_eq!(names[0], "body/block0: Choice([\"mb_k3_e3\", \"mb_k5_e1_g2\", \"sep\"])");
    assert_eq!(names[2], "body/block2: Choice([\"mb_k3_e3\", \"mb_k5_e1_g2\", \"sep\", \"skip\"])");
    let genes = space.parse_architecture("1, 0, 3").unwrap();
    assert_eq!(space.notation(&genes), "1,0,3");
    let ids: Vec<String> = space.network(&genes).unwrap().nodes.iter().map(|node| node.id.to_string()).collect();
    assert!(ids.contains(&"body/block0/mb_k5_e1_g2/shuffle".to_owned()), "{ids:?}");
    assert!(ids.contains(&"body/block1/mb_k3_e3/output".to_owned()), "{ids:?}");
    assert!(ids.contains(&"body/block2/skip".to_owned()), "{ids:?}");
    // Two blocks and one: an identity leaves no trace.
    let skipped = space.identity(&space.parse_architecture("1,3,0").unwrap()).unwrap();
    assert_eq!(skipped, space.identity(&genes).unwrap());
}

#[test]
fn mistakes_are_named_with_their_line_and_a_remedy() {
    let check = |units: &str, stages: &str, message: &str| {
        assert_eq!(file(units, stages).unwrap_err(), message);
    };
    let body = |rest: &str| format!("[[stage]]\nname = \"body\"\nchannels = 12\n{rest}");
    check(
        "",
        &body("units = [\"conv\", \"other\"]"),
        "mine.toml:19: stage `body`: unknown unit `other`; the file has conv, skip",
    );
    check("", &body("units = []"), "mine.toml:19: stage `body`: `units` is empty; name at least one");
    check(
        "",
        &body("units = [\"skip\"]"),
        "mine.toml:19: stage `body`: its first block has nothing but an identity to choose, and has to change the map",
    );
    check(
        "[[unit]]\nname = \"even\"\nkind = \"shuffle\"\nkernel = 4",
        "",
        "mine.toml:14: unit `even`: `kernel` is 4, it is an odd number up to 63",
    );
    check(
        "[[unit]]\nname = \"shuffle\"\nkind = \"shuffle\"\nkernel = 3",
        "[[stage]]\nname = \"body\"\nunits = [\"shuffle\", \"conv\"]\nstride = 2\nchannels = 8",
        "node body/block0/shuffle: keeps 8 of its input's channels and has to give 8; use more",
    );
    assert!(file("", "stray = 1").unwrap_err().contains("unknown field `stray`"));
    let wrong = file("[[unit]]\nname = \"x\"\nkind = \"shuffle\"\nkernel = 3\nstray = 1", "").unwrap_err();
    assert!(wrong.contains("unknown field `stray`"), "{wrong}");
}

#[test]
fn settings_reach_elements_by_name_and_position() {
    let space = spos();
    let message = |key: &str, value: &str| space.set(key, value).unwrap_err().to_string();
    assert_eq!(message("stage.other.blocks", "2"), "stage.other.blocks = 2: `stage` has no element `other`");
    assert_eq!(
        message("stage.stage1.blocks", "0"),
        "stage.stage1.blocks = 0: stage `stage1`: `blocks` is 0, it is 1 to 1000"
    );
    let wrong = message("stage.2.channels", "many");
    assert!(wrong.starts_with("stage.2.channels = many: stage[2].channels: invalid type"), "{wrong}");
    assert_eq!(space.set("stage.2.blocks", "3").unwrap().space().decisions.len(), 19);
}
