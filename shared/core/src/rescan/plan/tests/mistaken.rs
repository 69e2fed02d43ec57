//! Signatures that change what others find.

use super::*;

#[test]
fn what_may_be_mistaken_concerns_all_on_which_its_matcher_ran() {
    let text = with(|view| view.targets = Targets::from_bits(1 << 7 | 1));
    for (name, line) in [
        ("daily.ndb", "A:1:*:00ff(6162|61)20"),
        ("daily.ldb", "A;Engine:51-255,Target:1,FileSize:1-2;0;00ff[1-3]61"),
        ("daily.ndb", "Heuristics.Own:6:*:00ff"),
    ] {
        for change in [added(name, line), removed(name, line)] {
            for record in [clean(), infected(&["B"])] {
                assert_eq!(plan(&record, &change), RescanPlan::FullScan(FullScan::Context), "{line}");
            }
        }
    }
    assert_eq!(plan(&text, &added("daily.ndb", "A:1:*:00ff(6162|61)20")), NOTHING);
}
