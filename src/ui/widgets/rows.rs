//! What tables of members share: which rows fit, and names that stay apart when they are cut.

use crate::app::State;
use crate::model::MemberView;
use crate::ui::canvas::{fit_middle, width};

/// As many of the rows as fit, around the selected one.
pub(in crate::ui) fn around(shown: &[usize], selected: Option<usize>, fit: usize) -> &[usize] {
    let fit = fit.clamp(1, shown.len().max(1)).min(shown.len());
    let at = shown.iter().position(|i| Some(*i) == selected).unwrap_or(0);
    let first = (at + 1).saturating_sub(fit).min(shown.len() - fit);
    &shown[first..first + fit]
}

/// ` (2 to 5 of 9)` when not all rows are shown; nothing otherwise.
pub(in crate::ui) fn share(shown: &[usize], part: &[usize]) -> String {
    if part.len() == shown.len() {
        return String::new();
    }
    let first = part.first().and_then(|i| shown.iter().position(|s| s == i)).unwrap_or(0);
    format!(" ({} to {} of {})", first + 1, first + part.len(), shown.len())
}

/// What all names end in from a dot on, such as a domain: it tells nobody apart.
fn common_domain(members: &[MemberView]) -> String {
    let mut labels = members.iter().filter(|m| !m.name.is_empty()).map(MemberView::label);
    let Some(first) = labels.next() else { return String::new() };
    let mut common = first.as_str();
    let mut others = 0;
    for label in labels {
        others += 1;
        while !label.ends_with(common) {
            common = match common.char_indices().nth(1) {
                Some((at, _)) => &common[at..],
                None => "",
            };
        }
    }
    match common.find('.') {
        Some(dot) if others > 0 => common[dot..].to_owned(),
        _ => String::new(),
    }
}

/// A member's name in so many columns: without the domain that all share, then without its middle, because names of
/// hosts differ at their ends.
pub(in crate::ui) fn name(state: &State, m: &MemberView, columns: u16, ellipsis: &str) -> String {
    let label = m.label();
    if width(&label) <= columns {
        return label;
    }
    let domain = common_domain(&state.view.members);
    let host = label.strip_suffix(domain.as_str()).filter(|h| !h.is_empty()).unwrap_or(&label);
    fit_middle(host, columns, ellipsis)
}

/// The columns that names get, between `least` and `most`.
pub(in crate::ui) fn names_width(state: &State, least: u16, most: u16) -> u16 {
    state.view.members.iter().map(|m| width(&m.label())).max().unwrap_or(least).clamp(least, most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::healthy;

    #[test]
    fn the_selected_row_is_always_among_those_shown() {
        let shown: Vec<usize> = (0..9).collect();
        for selected in 0..9 {
            for fit in 1..12 {
                let part = around(&shown, Some(selected), fit);
                assert!(part.contains(&selected) && part.len() == fit.min(9), "{selected} {fit}: {part:?}");
            }
        }
        assert!(around(&[], None, 3).is_empty());
        assert_eq!(share(&shown, around(&shown, Some(8), 3)), " (7 to 9 of 9)");
        assert_eq!(share(&shown, &shown), "");
    }

    #[test]
    fn long_names_stay_apart() {
        let mut view = healthy(3);
        for (i, m) in (1..).zip(&mut view.members) {
            m.name = format!("prod-eu-central-1a-control-plane-node-0{i}.k8s.example.internal").into();
        }
        let domain = common_domain(&view.members);
        assert_eq!(domain, ".k8s.example.internal");
        let cut: Vec<_> = view
            .members
            .iter()
            .map(|m| fit_middle(m.label().strip_suffix(&domain).unwrap(), 20, "…"))
            .collect();
        assert_eq!(cut, ["prod-eu-c…ne-node-01", "prod-eu-c…ne-node-02", "prod-eu-c…ne-node-03"]);
    }
}
