//! Which connectors guardian may touch: `--include` and `--exclude`, wildcard
//! patterns over connector names. Exclude wins.

use wildmatch::WildMatch;

/// The patterns of `--include` and `--exclude`: `*` is any text, `?` one
/// character, and case counts.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    include: Vec<WildMatch>,
    exclude: Vec<WildMatch>,
}

impl Filter {
    /// A filter of these patterns; no include pattern includes everything.
    pub fn new(include: &[String], exclude: &[String]) -> Self {
        let compile = |patterns: &[String]| patterns.iter().map(|pattern| WildMatch::new(pattern)).collect();
        Self { include: compile(include), exclude: compile(exclude) }
    }

    /// Whether guardian may restart this connector.
    pub fn selects(&self, connector: &str) -> bool {
        let any = |patterns: &[WildMatch]| patterns.iter().any(|pattern| pattern.matches(connector));
        (self.include.is_empty() || any(&self.include)) && !any(&self.exclude)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exclude_wins_and_case_counts() {
        let list = |patterns: &[&str]| patterns.iter().map(ToString::to_string).collect::<Vec<_>>();
        for (include, exclude, name, selected) in [
            (&[][..], &[][..], "orders", true),
            (&["orders"], &[], "orders", true),
            (&["orders"], &[], "orders-2", false),
            (&["orders*"], &[], "orders-2", true),
            (&["orders-?"], &[], "orders-10", false),
            (&["Orders"], &[], "orders", false),
            (&["*"], &["*-test"], "orders-test", false),
            (&["a", "b*"], &["bb"], "bb", false),
            (&["a b"], &[], "a b", true),
            (&["日*"], &[], "日本", true),
        ] {
            let filter = Filter::new(&list(include), &list(exclude));
            assert_eq!(filter.selects(name), selected, "{name} in {include:?} but {exclude:?}");
        }
    }
}
