//! Single draws: an option, and values of ranges on their scale.

use crate::{
    model::{Domain, Gene},
    random::RandomSource,
};

/// Uniform in `0..bound`; nothing is drawn where there is one value only, or no source.
pub(crate) fn pick(bound: u32, random: &mut Option<&mut dyn RandomSource>) -> u32 {
    match random {
        Some(random) if bound > 1 => random.below(bound.into()) as u32,
        _ => 0,
    }
}

/// A value of a range, uniform on its scale; the low end without a source.
pub(crate) fn draw_range(domain: &Domain, random: &mut Option<&mut dyn RandomSource>) -> Gene {
    match (domain, random) {
        (Domain::Integer(range), Some(random)) if range.low < range.high => {
            Gene::Integer(if range.log_scale && range.low > 0 {
                let (low, high) = (range.low as f64 - 0.5, range.high as f64 + 0.5);
                let value = (low.ln() + random.next_f64() * (high.ln() - low.ln())).exp().round();
                (value as i64).clamp(range.low, range.high)
            } else {
                let span = range.high.abs_diff(range.low);
                let offset = if span == u64::MAX { random.next_u64() } else { random.below(span + 1) };
                range.low.wrapping_add_unsigned(offset)
            })
        }
        (Domain::Real(range), Some(random)) if range.low < range.high => {
            let share = random.next_f64();
            let value = if range.log_scale && range.low > 0.0 {
                (range.low.ln() + share * (range.high.ln() - range.low.ln())).exp()
            } else {
                // Written so that no span overflows.
                range.low * (1.0 - share) + range.high * share
            };
            Gene::Real(value.clamp(range.low, range.high))
        }
        (Domain::Integer(range), _) => Gene::Integer(range.low),
        (Domain::Real(range), _) => Gene::Real(range.low),
        (Domain::Choice(_) | Domain::Levels(_), _) => Gene::Choice(0),
    }
}

/// Another value of a range: a draw, and where it hits the old value the next one up (from the top: the low end).
pub(crate) fn redraw_range(domain: &Domain, old: &Gene, random: &mut dyn RandomSource) -> Option<Gene> {
    match domain {
        Domain::Integer(range) if range.low >= range.high => return None,
        Domain::Real(range) if range.low >= range.high => return None,
        _ => {}
    }
    let drawn = draw_range(domain, &mut Some(random));
    if drawn != *old {
        return Some(drawn);
    }
    match (domain, drawn) {
        (Domain::Integer(range), Gene::Integer(value)) if value < range.high => Some(Gene::Integer(value + 1)),
        (Domain::Integer(range), _) => Some(Gene::Integer(range.low)),
        (Domain::Real(range), Gene::Real(value)) if value < range.high => Some(Gene::Real(value.next_up())),
        (Domain::Real(range), _) => Some(Gene::Real(range.low)),
        _ => None,
    }
}
