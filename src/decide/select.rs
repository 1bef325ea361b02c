//! Which connectors guardian may touch: `--include` and `--exclude`, wildcard
//! patterns over connector names. Exclude wins.

use wildmatch::WildMatch;

/// Patterns over connector names: `*` is any text, `?` one character, and case counts.
#[derive(Clone, Debug, Default)]
pub struct Patterns(Vec<WildMatch>);

impl Patterns {
    pub fn new(patterns: &[String]) -> Self {
        Self(patterns.iter().map(|pattern| WildMatch::new(pattern)).collect())
    }

    /// Whether one of them matches this connector.
    pub fn match_any(&self, connector: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(connector))
    }
}

/// The patterns of `--include` and `--exclude`.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    include: Patterns,
    exclude: Patterns,
}

impl Filter {
    /// A filter of these patterns; no include pattern includes everything.
    pub fn new(include: &[String], exclude: &[String]) -> Self {
        Self { include: Patterns::new(include), exclude: Patterns::new(exclude) }
    }

    /// Whether guardian may restart this connector.
    pub fn selects(&self, connector: &str) -> bool {
        (self.include.0.is_empty() || self.include.match_any(connector)) && !self.exclude.match_any(connector)
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
