//! Members as pieces of a line, each as long as its weight.

/// The weights of one tier.
#[derive(Clone, Debug)]
pub(super) struct Ranges {
    /// Of each member, its own weight and those of all before it.
    ends: Vec<u32>,
}

impl Ranges {
    pub(super) fn new(weights: impl Iterator<Item = u32>) -> Self {
        let ends = weights.scan(0u32, |end, weight| {
            *end = end.saturating_add(weight);
            Some(*end)
        });
        Self {
            ends: ends.collect(),
        }
    }

    /// The sum of all weights.
    pub(super) fn total(&self) -> u32 {
        self.ends.last().copied().unwrap_or_default()
    }

    /// Whose piece `point` lies in, taken modulo the sum; `None` if there is no piece.
    pub(super) fn at(&self, point: u32) -> Option<usize> {
        let rest = point.checked_rem(self.total())?;
        Some(self.ends.partition_point(|end| *end <= rest))
    }
}

impl Ranges {
    /// A member by lot, by weight.
    pub(super) fn draw(&self) -> Option<usize> {
        self.at(fastrand::u32(..self.total().max(1)))
    }

    /// A member other than `one` by lot, by weight; `None` if there is no other.
    pub(super) fn draw_other(&self, one: usize) -> Option<usize> {
        let end = *self.ends.get(one)?;
        let start = one.checked_sub(1).map_or(0, |before| self.ends[before]);
        let others = self.total() - (end - start);
        if others == 0 {
            return None;
        }
        let point = fastrand::u32(..others);
        self.at(if point < start {
            point
        } else {
            point + (end - start)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_member_has_as_many_points_as_its_weight() {
        let ranges = Ranges::new([2, 1, 3].into_iter());
        let owners: Vec<_> = (0..7).filter_map(|point| ranges.at(point)).collect();
        assert_eq!(owners, [0, 0, 1, 2, 2, 2, 0]);
    }

    #[test]
    fn another_is_never_the_same_and_each_as_often_as_it_weighs() {
        let ranges = Ranges::new([2, 1, 3].into_iter());
        let mut counts = [0; 3];
        for _ in 0..3000 {
            counts[ranges.draw_other(1).unwrap()] += 1;
        }
        assert_eq!(counts[1], 0);
        assert!((1080..1320).contains(&counts[0]), "{counts:?}");
        assert_eq!(Ranges::new([2].into_iter()).draw_other(0), None);
    }

    #[test]
    fn without_members_there_is_nobody() {
        assert_eq!(Ranges::new([].into_iter()).at(5), None);
    }
}
