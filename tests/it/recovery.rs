//! Outages in virtual time, coarsely: in a few cheap ones guardian must not fall back behind what others do. The whole
//! comparison is `cargo bench --locked --bench recovery`.

use crate::outages::{Again, PEERS, Who, play};

/// Restarts sent while the cause was there: at most this part of those of the thriftiest peer that comes back by itself.
const PART_OF_THE_THRIFTIEST: u64 = 10;
/// Mean minutes for which a task stays down after the cause is gone.
const MINUTES_AFTER: f64 = 12.0;
/// `MAX_RESTART`, as it is by default.
const RESTARTS_OF_THE_POISONED: u32 = 7;

const AGAIN: [Again; 2] = [Again::Evenly, Again::AsMeasured];
const RATIOS: [&str; 2] = ["1", "2"];

fn ratio(ratio: &str) -> [(String, String); 1] {
    [("EXPONENTIAL_RATIO".to_owned(), ratio.to_owned())]
}

#[test]
fn after_an_outage_all_come_back_soon_and_without_a_storm() {
    for (scenario, again) in
        ["out-30m-20", "out-2h-100"].into_iter().flat_map(|it| AGAIN.map(|again| (it, again)))
    {
        let others = PEERS.map(|peer| play(Who::Peer(peer), scenario, again, 1));
        let thriftiest = others.iter().filter(|it| it.left == 0).map(|it| it.wasted).min().unwrap();
        for setting in RATIOS {
            let ours = play(Who::Guardian(&ratio(setting)), scenario, again, 1);
            let (minutes, case) = (ours.mean_minutes(), format!("{scenario}, {again:?}, ratio {setting}"));
            assert_eq!(ours.left, 0, "{case}: tasks are left for a person");
            assert!(minutes <= MINUTES_AFTER, "{case}: down for {minutes} minutes after the outage");
            assert!(
                ours.wasted * PART_OF_THE_THRIFTIEST <= thriftiest,
                "{case}: {} restarts for nothing, {thriftiest} of the thriftiest peer",
                ours.wasted
            );
        }
    }
}

#[test]
fn what_only_a_person_can_cure_is_given_up() {
    for (setting, again) in RATIOS.into_iter().flat_map(|it| AGAIN.map(|again| (it, again))) {
        let ours = play(Who::Guardian(&ratio(setting)), "poison", again, 1);
        let most = ours.poisoned;
        assert!(
            (1..=RESTARTS_OF_THE_POISONED).contains(&most),
            "{again:?}, ratio {setting}: {most} restarts"
        );
    }
}
