//! Which of many points no other beats.

use crate::Goal;

/// Indices of the points that no other point beats: as good in every objective and better in one. In order of the
/// first objective, best first; of equal points the first stands for all. Points with a value that is not finite, or
/// with another number of values than there are goals, are left out.
pub fn front(points: &[Vec<f64>], goals: &[Goal]) -> Vec<usize> {
    // Smaller is better from here on.
    let signed: Vec<Vec<f64>> = points
        .iter()
        .map(|point| {
            let signed = point.iter().zip(goals);
            signed.map(|(value, goal)| if *goal == Goal::Maximize { -value } else { *value }).collect()
        })
        .collect();
    let is_whole = |index: &usize| {
        points.get(*index).is_some_and(|point| point.len() == goals.len() && point.iter().all(|v| v.is_finite()))
    };
    let mut order: Vec<usize> = (0..points.len()).filter(is_whole).collect();
    let values = |index: usize| signed.get(index).map(Vec::as_slice).unwrap_or_default();
    // Lexicographic order: a point can only be beaten by one before it.
    order.sort_by(|&a, &b| {
        let pairs = values(a).iter().zip(values(b));
        pairs.map(|(a, b)| a.total_cmp(b)).find(|o| o.is_ne()).unwrap_or(std::cmp::Ordering::Equal).then(a.cmp(&b))
    });
    let mut front: Vec<usize> = Vec::new();
    for index in order {
        let is_beaten = |other: &usize| values(*other).iter().zip(values(index)).all(|(other, own)| other <= own);
        if !front.iter().any(is_beaten) {
            front.push(index);
        }
    }
    front
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn equal_points_stand_once_and_unfinished_ones_not_at_all() {
        let points = [vec![1.0, 5.0], vec![2.0, 3.0], vec![2.0, 3.0], vec![3.0, 4.0], vec![f64::NAN, 0.0], vec![1.0]];
        assert_eq!(front(&points, &[Goal::Minimize, Goal::Minimize]), [0, 1]);
        assert_eq!(front(&points, &[Goal::Maximize, Goal::Minimize]), [3, 1]);
        assert_eq!(front(&points, &[Goal::Minimize]), [5]);
        assert!(front(&[], &[Goal::Minimize]).is_empty());
    }

    proptest! {
        #[test]
        fn the_front_is_what_comparing_all_pairs_finds(
            points in prop::collection::vec(prop::collection::vec((0..6).prop_map(f64::from), 3), 0..40),
        ) {
            let goals = [Goal::Maximize, Goal::Minimize, Goal::Minimize];
            let as_good = |a: &[f64], b: &[f64]| a[0] >= b[0] && a[1] <= b[1] && a[2] <= b[2];
            let mut brute: Vec<&Vec<f64>> = points
                .iter()
                .filter(|own| !points.iter().any(|other| as_good(other, own) && other != *own))
                .collect();
            brute.sort_by(|a, b| a.partial_cmp(b).unwrap());
            brute.dedup();
            let mut found: Vec<&Vec<f64>> = front(&points, &goals).into_iter().map(|index| &points[index]).collect();
            found.sort_by(|a, b| a.partial_cmp(b).unwrap());
            prop_assert_eq!(found, brute);
        }
    }
}
