//! The promises of the fuzz targets, tested without a fuzzer: over their committed corpus, which holds what the fuzzer
//! has found, and over damaged copies of it, the same ones every time. `.ci/run` runs the fuzzer itself.

#[path = "../fuzz/promises.rs"]
mod promises;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::support::Dice;

/// How many damaged copies of each file are tried.
const COPIES: usize = 400;

#[test]
fn a_status_document() {
    keeps_its_promises("status", promises::status);
}

#[test]
fn a_java_trace() {
    keeps_its_promises("cause", promises::cause);
}

#[test]
fn a_state_file() {
    keeps_its_promises("state", promises::state);
}

#[test]
fn a_command_line_and_an_environment() {
    keeps_its_promises("settings", promises::settings);
}

fn keeps_its_promises(target: &str, promise: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let mut files: Vec<_> =
        fs::read_dir(&folder).expect("a corpus").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    let corpus: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).expect("it can be read")).collect();
    assert!(corpus.len() > 3, "{} holds no corpus", folder.display());
    let check = |data: &[u8], what: &str| {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| promise(data))) {
            eprintln!("{target}, {what}: {:?}", String::from_utf8_lossy(data));
            std::panic::resume_unwind(panic);
        }
    };
    let mut dice = Dice(1);
    for (file, data) in files.iter().zip(&corpus) {
        check(data, &file.display().to_string());
        for _ in 0..COPIES {
            check(&damaged(data, &corpus, &mut dice), "damaged");
        }
    }
}

/// Some bytes flipped, cut out, doubled, or replaced by a piece of another file.
fn damaged(data: &[u8], corpus: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut data = data.to_vec();
    for _ in 0..=dice.below(4) {
        let (from, to) = piece(&data, dice);
        match dice.below(5) {
            0 => drop(data.drain(from..to)),
            1 => data = [&data[..to], &data[from..]].concat(),
            2 => {
                let other = dice.pick(corpus);
                let (start, end) = piece(other, dice);
                data.splice(from..to, other[start..end].iter().copied());
            }
            3 => data.iter_mut().skip(from).take(1).for_each(|byte| *byte ^= 1 << dice.below(8)),
            _ => data.truncate(to),
        }
    }
    data
}

fn piece(data: &[u8], dice: &mut Dice) -> (usize, usize) {
    let ends = data.len() as u64 + 1;
    let (a, b) = (dice.below(ends) as usize, dice.below(ends) as usize);
    (a.min(b), a.max(b))
}
