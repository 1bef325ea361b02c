//! Connectors whose names hold what nobody can see: each is told from every other wherever it is printed, and `reset`
//! takes the name as it was shown, or as it is.

use crate::sim::{Answer, Connect, Failure, Profile};
use crate::support::{Guardian, actions, each};

/// A name, how it is shown, and how Connect comes to have it.
const NAMES: [(&str, &str, &str); 10] = [
    ("orders-sink", "orders-sink", "nothing odd is shown as it is"),
    ("ü-ñ-日本", "ü-ñ-日本", "letters of any alphabet are"),
    (
        "orders\u{200b}sink",
        r"orders\u{200b}sink",
        "copied from a page: only ISO control characters are refused (ConfigDef)",
    ),
    ("orders\u{a0}sink", r"orders\u{a0}sink", "a blank of another sort, from a document"),
    (
        "orders ",
        r"orders\u{20}",
        "POST trims a name, PUT /connectors/NAME/config does not (ConnectorsResource)",
    ),
    (" orders", r"\u{20}orders", "the same at its beginning"),
    ("orders\t", r"orders\u{9}", "before KAFKA-4930 nothing was refused"),
    ("o\u{202e}rders", r"o\u{202e}rders", "would turn what follows it around"),
    (r"orders\sink", r"orders\sink", "a backslash alone needs nothing"),
    (r"orders\u{200b}sink", r"orders\u{5c}u{200b}sink", "one that looks like an escape"),
];

fn failing(names: &[&str]) -> (Connect, Guardian) {
    let connect = Connect::start(Profile::V3_3);
    for name in names {
        connect.connector(name).tasks(1);
        connect.fail_task(name, 0, Failure::always());
    }
    let guardian = Guardian::at(&connect.url()).env("MAX_RESTART", "1");
    (connect, guardian)
}

#[test]
fn a_name_is_shown_everywhere_as_reset_takes_it() {
    each(NAMES.to_vec(), |(name, shown, why)| {
        let (connect, guardian) = failing(&[name]);
        let (document, _) = guardian.run_json();
        assert_eq!(document["instances"][0]["connector"], *shown, "{why}");
        let as_shown = format!("{shown}/0");
        // It is given up by this run.
        let news = guardian.with(&["run", "--once", "--quiet"]).stderr;
        assert!(news.contains(&as_shown), "{why}: {news}");
        for arguments in [&["status"][..], &["run", "--once"]] {
            let table = guardian.with(arguments).stdout;
            assert!(table.lines().any(|line| line.starts_with(&format!("{shown} "))), "{why}: {table}");
        }
        let refused = guardian.with(&["reset", "nobody"]).exits(1).stderr;
        assert!(refused.contains(&as_shown), "{refused}");
        for typed in [shown.to_string(), as_shown.clone(), name.to_string(), format!("{name}/0")] {
            assert_eq!(guardian.attempts(name, Some(0)), Some(1), "{why}");
            let ended = guardian.with(&["reset", &typed]).exits(0);
            assert_eq!(ended.stdout, format!("forgotten: {as_shown}\n"), "{typed:?}");
            assert_eq!(guardian.attempts(name, Some(0)), None, "{typed:?}");
            guardian.run();
        }
        connect.set_state(name, Some(0), "RUNNING");
        connect.connector(name).tasks(0);
        let warned = guardian.with(&["status"]).stdout;
        assert!(warned.contains(&format!("RUNNING without a single task: {shown}\n")), "{warned}");
        connect.on_status(name).answers(Answer::json(200, "{}"));
        connect.on_listing().answers(Answer::error(500, "x"));
        connect.connector("other").tasks(1);
        let warned = guardian.with(&["status"]).stdout;
        assert!(warned.contains(&format!("connector {shown}: its status cannot be understood")), "{warned}");
    });
}

/// Each of them is another connector, and none is taken for its neighbour.
#[test]
fn names_that_look_alike_are_told_apart() {
    let names = NAMES.map(|(name, _, _)| name);
    let (_connect, guardian) = failing(&names);
    let (document, code) = guardian.run_json();
    let mut expected: Vec<String> =
        NAMES.iter().map(|(_, shown, _)| format!("{shown}/0 restarted")).collect();
    let mut found = actions(&document);
    expected.sort();
    found.sort();
    assert_eq!((found, code), (expected, 0));

    let table = guardian.with(&["status"]).stdout;
    let rows: Vec<&str> = table.lines().filter(|line| line.contains("FAILED")).collect();
    assert_eq!(rows.len(), names.len(), "{table}");
    // The two ideographs of `日本` are two columns wide each.
    let column = |row: &&str| {
        row.find("FAILED").map(|at| row[..at].chars().map(|c| if c > '\u{2000}' { 2 } else { 1 }).sum())
    };
    let columns: Vec<Option<usize>> = rows.iter().map(column).collect();
    assert!(columns.windows(2).all(|two| two[0] == two[1]), "{columns:?} {table}");

    // What is shown so comes before what is spelt so.
    let ended = guardian.with(&["reset", r"orders\u{200b}sink"]).exits(0);
    assert_eq!(ended.stdout, "forgotten: orders\\u{200b}sink/0\n");
    assert_eq!(guardian.attempts(r"orders\u{200b}sink", Some(0)), Some(1));
    assert_eq!(guardian.attempts("orders\u{200b}sink", Some(0)), None);
    let refused = guardian.with(&["reset", "orders\u{200b}", r"x\u{200b}"]).exits(1).stderr;
    assert!(refused.contains(r"not remembered: orders\u{200b}, x\u{200b}; the state"), "{refused}");
}
