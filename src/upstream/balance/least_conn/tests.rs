use std::cell::RefCell;

use super::*;

/// Members whose requests are counted here.
struct Counted {
    in_flight: RefCell<Vec<u32>>,
    shares: Vec<Share>,
}

impl Counted {
    fn new(in_flight: &[u32]) -> Self {
        Self {
            in_flight: RefCell::new(in_flight.to_vec()),
            shares: vec![Share::FULL; in_flight.len()],
        }
    }

    /// Ends one request of `index`, as a seat is told of it.
    fn end(&self, least_conn: &Arc<LeastConn>, index: usize) {
        self.in_flight.borrow_mut()[index] -= 1;
        Seat::new(least_conn, index).tell(|| self.in_flight.borrow()[index]);
    }
}

impl Candidates for &Counted {
    fn share(&self, index: usize) -> Share {
        self.shares[index]
    }

    fn claim(&mut self, index: usize) -> bool {
        self.in_flight.borrow_mut()[index] += 1;
        true
    }

    fn in_flight(&self, index: usize) -> u32 {
        self.in_flight.borrow()[index]
    }

    fn expected_wait(&self, _: usize) -> f64 {
        0.0
    }
}

fn pick(least_conn: &LeastConn, mut counted: &Counted) -> Option<usize> {
    least_conn.pick(std::iter::empty(), &mut counted)
}

/// Who gets the next `n` requests, of which each ends before the next.
fn one_by_one(weights: &[u32], counted: &Counted, n: usize) -> String {
    let least_conn = Arc::new(LeastConn::new(weights));
    let turn = |_| {
        let index = pick(&least_conn, counted)?;
        counted.end(&least_conn, index);
        char::from_digit(index as u32 + 10, 36)
    };
    (0..n).filter_map(turn).collect()
}

#[test]
fn idle_members_take_turns_by_their_weights() {
    assert_eq!(one_by_one(&[1, 1, 1], &Counted::new(&[0; 3]), 6), "abcabc");
    let turns = one_by_one(&[5, 1, 1], &Counted::new(&[0; 3]), 70);
    assert_eq!(turns.matches('a').count(), 50);
    assert_eq!(turns.matches('b').count(), 10);
}

#[test]
fn who_has_fewest_for_its_weight_is_next() {
    let counted = Counted::new(&[4, 3, 9]);
    let least_conn = LeastConn::new(&[1, 1, 4]);
    // 9 / 4 is 2.25, then 2.5, 2.75; then b, with 3, stands before c, with 3, which was chosen more.
    let picks = [0; 4].map(|_| pick(&least_conn, &counted));
    assert_eq!(picks, [Some(2), Some(2), Some(2), Some(1)]);
}

#[test]
fn one_that_was_busy_for_long_has_nothing_to_make_up_for() {
    let counted = Counted::new(&[1, 0]);
    let least_conn = Arc::new(LeastConn::new(&[1, 1]));
    for _ in 0..1000 {
        assert_eq!(pick(&least_conn, &counted), Some(1));
        counted.end(&least_conn, 1);
    }
    counted.end(&least_conn, 0);
    let turn = || {
        let index = pick(&least_conn, &counted).unwrap();
        counted.end(&least_conn, index);
        index
    };
    let of_first = (0..100).filter(|_| turn() == 0).count();
    assert!((50..=51).contains(&of_first), "{of_first}");
}

#[test]
fn one_that_is_warming_up_counts_by_its_share() {
    let mut counted = Counted::new(&[1, 3]);
    counted.shares[0] = Share::of(0.25);
    let least_conn = LeastConn::new(&[1, 1]);
    // 1 in a quarter is as 4.
    assert_eq!(pick(&least_conn, &counted), Some(1));
    assert_eq!(pick(&least_conn, &counted), Some(0));
}

#[test]
fn one_that_is_given_its_last_place_pays_no_more_than_others() {
    /// Of whom the first has one place.
    struct Narrow<'c>(&'c Counted);

    impl Candidates for Narrow<'_> {
        fn share(&self, index: usize) -> Share {
            if index == 0 && self.0.in_flight.borrow()[0] > 0 {
                return Share::NONE;
            }
            Share::FULL
        }

        fn claim(&mut self, index: usize) -> bool {
            self.0.in_flight.borrow_mut()[index] += 1;
            true
        }

        fn in_flight(&self, index: usize) -> u32 {
            self.0.in_flight.borrow()[index]
        }

        fn expected_wait(&self, _: usize) -> f64 {
            0.0
        }
    }

    let counted = Counted::new(&[0, 0]);
    let least_conn = Arc::new(LeastConn::new(&[1, 1]));
    let turns = (0..100).map(|_| {
        let index = least_conn
            .pick(std::iter::empty(), &mut Narrow(&counted))
            .unwrap();
        counted.end(&least_conn, index);
        index
    });
    assert_eq!(turns.filter(|index| *index == 0).count(), 50);
}

#[derive(Clone, Debug)]
enum Event {
    Pick,
    End(usize),
    Goes(usize),
    Returns(usize),
}

fn events() -> impl proptest::strategy::Strategy<Value = Vec<Event>> {
    use proptest::prelude::*;
    let event = prop_oneof![
        5 => Just(Event::Pick),
        4 => (0..7usize).prop_map(Event::End),
        1 => (0..7usize).prop_map(Event::Goes),
        1 => (0..7usize).prop_map(Event::Returns),
    ];
    proptest::collection::vec(event, 0..300)
}

proptest::proptest! {
    #[test]
    fn nobody_who_may_be_used_has_less_to_do_for_its_weight(
        weights in proptest::collection::vec(1u32..5, 7),
        events in events(),
    ) {
        let mut counted = Counted::new(&[0; 7]);
        let least_conn = Arc::new(LeastConn::new(&weights));
        for event in events {
            match event {
                Event::Pick => {
                    let before = counted.in_flight.borrow().clone();
                    let load = |index: usize| f64::from(before[index]) / f64::from(weights[index]);
                    let usable = |index: &usize| counted.shares[*index] != Share::NONE;
                    let least = (0..7).filter(usable).map(load).min_by(f64::total_cmp);
                    let picked = pick(&least_conn, &counted);
                    assert_eq!(picked.map(load), least);
                    assert!(picked.iter().all(usable));
                }
                Event::End(who) if counted.in_flight.borrow()[who] > 0 => {
                    counted.end(&least_conn, who);
                }
                Event::End(_) => {}
                Event::Goes(who) => {
                    counted.shares[who] = Share::NONE;
                    // As a request finds out that wanted it.
                    let mut tournament = least_conn.tournament();
                    tournament.leave(who);
                }
                Event::Returns(who) => counted.shares[who] = Share::FULL,
            }
        }
    }
}
