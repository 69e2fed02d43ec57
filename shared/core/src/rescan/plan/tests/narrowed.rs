//! The rows of the table that concern fewer records than their kind of signature would.

use super::*;

#[test]
fn urls_that_are_no_phishing_concern_the_records_of_mail_and_pages() {
    let wdb = ("daily.wdb", "M:evil.example.net:www.example.com");
    let context = RescanPlan::FullScan(FullScan::Context);
    for change in [added(wdb.0, wdb.1), removed(wdb.0, wdb.1)] {
        assert_eq!(plan(&clean(), &change), NOTHING);
        assert_eq!(plan(&infected(&["A"]), &change), RescanPlan::Unaffected(Unaffected::StillInfected));
        for targets in [Targets::of(3), Targets::of(4), Targets::of(7), Targets::of(14), Targets::NONE] {
            assert_eq!(plan(&with(|view| view.targets = targets), &change), context, "{targets:?}");
            let mut mail = infected(&["Heuristics.Phishing.Email.SpoofedDomain"]);
            mail.view.as_mut().expect("it has one").targets = targets;
            assert_eq!(plan(&mail, &change), context, "{targets:?}");
        }
    }
}

#[test]
fn a_size_concerns_the_records_with_content_of_that_size() {
    let sized =
        |sizes: &str, target| added("daily.ldb", &format!("A;Engine:51-255,FileSize:{sizes},Target:{target};0;00ff"));
    for (sizes, expected) in [
        ("68-68", RescanPlan::DeltaScan),
        ("1-68", RescanPlan::DeltaScan),
        ("0-5", RescanPlan::DeltaScan),
        ("69-1000", NOTHING),
        ("1-67", NOTHING),
        ("69", RescanPlan::DeltaScan),
    ] {
        for target in [0, 1] {
            assert_eq!(plan(&clean(), &sized(sizes, target)), expected, "{sizes}");
        }
        assert_eq!(plan(&clean(), &sized(sizes, 6)), NOTHING, "its matcher did not run");
    }
    assert_eq!(
        plan(&with(|view| view.layers = None), &sized("69-1000", 0)),
        RescanPlan::DeltaScan,
        "sizes are unknown"
    );
    let unknown = with(|view| view.targets = Targets::NONE);
    assert_eq!(plan(&unknown, &sized("69-1000", 0)), RescanPlan::DeltaScan, "nobody knows what ran");
    let many: Vec<String> = (0..1000).map(|n| format!("A{n};FileSize:{n}-{n},Target:1;0;00ff", n = n + 100)).collect();
    assert_eq!(
        plan(&clean(), &added("daily.ldb", &many.join("\n"))),
        RescanPlan::DeltaScan,
        "too many to compare with"
    );
    assert_eq!(plan(&clean(), &added("daily.ldb", &many[..200].join("\n"))), NOTHING);
}

fn types(names: &[&str]) -> FileTypes {
    names.iter().map(|name| FileTypes::of(&format!("CL_TYPE_{name}"))).collect()
}

#[test]
fn what_is_within_types_concerns_the_records_with_more_than_one_layer_and_those_types() {
    let other = LayerDigest { size: 5, ..LAYER };
    let record = |layers: usize, of: Option<FileTypes>| {
        with(|view| {
            view.layers = Some([LAYER, other].into_iter().take(layers).collect());
            view.types = of;
        })
    };
    let within = |demand: &str| added("daily.ldb", &format!("A;Engine:51-255,{demand},Target:0;0;00ff"));
    let (zip, tar) = (Some(types(&["ZIP", "TEXT_ASCII"])), Some(types(&["POSIX_TAR", "GZ"])));
    for (demand, layers, of, expected) in [
        ("Container:CL_TYPE_ZIP", 1, zip, NOTHING),
        ("Container:CL_TYPE_ZIP", 2, zip, RescanPlan::DeltaScan),
        // A ZIP may begin in any layer, and is not reported.
        ("Container:CL_TYPE_ZIP", 2, tar, RescanPlan::DeltaScan),
        ("Container:CL_TYPE_GZ", 2, tar, RescanPlan::DeltaScan),
        ("Container:CL_TYPE_GZ", 2, zip, NOTHING),
        ("Container:CL_TYPE_GZ", 2, None, RescanPlan::DeltaScan),
        ("Container:CL_TYPE_GZ", 2, Some(types(&["NEW"])), RescanPlan::DeltaScan),
        ("Container:CL_TYPE_ANY", 1, zip, RescanPlan::DeltaScan),
        ("Intermediates:CL_TYPE_GZ>CL_TYPE_POSIX_TAR", 2, tar, RescanPlan::DeltaScan),
        ("Intermediates:CL_TYPE_XZ>CL_TYPE_POSIX_TAR", 2, tar, NOTHING),
        ("Intermediates:CL_TYPE_ANY", 1, zip, RescanPlan::DeltaScan),
    ] {
        assert_eq!(plan(&record(layers, of), &within(demand)), expected, "{demand}, {layers} layers, {of:?}");
    }
    let unknown = with(|view| view.layers = None);
    assert_eq!(plan(&unknown, &within("Container:CL_TYPE_ZIP")), RescanPlan::DeltaScan);
}

#[test]
fn metadata_and_images_concern_the_records_with_such_types() {
    let cases = [
        ("daily.cdb", "A:CL_TYPE_POSIX_TAR:*:x:*:*:*:*:*:*", types(&["POSIX_TAR"])),
        ("daily.ldb", "A;Target:0;0;fuzzy_img#af2ad01ed42993c7#0", types(&["PNG"])),
    ];
    for (file, line, its) in cases {
        for (of, expected) in
            [(Some(its), RescanPlan::DeltaScan), (None, RescanPlan::DeltaScan), (Some(types(&["ELF", "ZIP"])), NOTHING)]
        {
            assert_eq!(plan(&with(|view| view.types = of), &added(file, line)), expected, "{line}, {of:?}");
        }
    }
    let zipped = added("daily.cdb", "A:CL_TYPE_ZIP:*:x:*:*:*:*:*:*");
    assert_eq!(plan(&with(|view| view.types = Some(types(&["ELF"]))), &zipped), RescanPlan::DeltaScan);
}

#[test]
fn another_type_for_what_matches_concerns_all_that_may_match() {
    let context = RescanPlan::FullScan(FullScan::Context);
    let line = |target: u8| format!("A;Engine:51-255,Target:{target},HandlerType:CL_TYPE_HTML;0;00ff");
    for (target, expected) in [(0, context), (1, context), (10, NOTHING)] {
        for change in [added("daily.ldb", &line(target)), removed("daily.ldb", &line(target))] {
            assert_eq!(plan(&clean(), &change), expected, "{target}");
            assert_eq!(plan(&with(|view| view.targets = Targets::NONE), &change), context, "nobody knows what ran");
            let still = RescanPlan::Unaffected(Unaffected::StillInfected);
            let of_infected = if expected == NOTHING { still } else { context };
            assert_eq!(plan(&infected(&["B"]), &change), of_infected, "{target}");
        }
    }
}
