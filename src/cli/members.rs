//! Members as people name them on the command line.

use color_eyre::Result;
use color_eyre::eyre::eyre;

use crate::model::{ClusterView, Endpoint, MemberId, MemberView};

/// The member that is meant by a name, an id or an endpoint.
pub(super) fn named(view: &ClusterView, text: &str) -> Result<MemberId> {
    let is_name = |m: &&MemberView| m.name.raw() == text;
    if view.members.iter().filter(is_name).count() > 1 {
        return Err(eyre!("more than one member is named {text:?}: name it by its id or endpoint"));
    }
    let same = |m: &&MemberView| {
        m.id.is_some_and(|id| id.to_string() == text.to_lowercase())
            || m.endpoint.as_ref().is_some_and(|e| Endpoint::parse(text).is_ok_and(|t| t.same_address(e)))
            || m.client_urls.iter().any(|url| url.raw() == text)
    };
    let members = || view.members.iter();
    let found = members().find(is_name).or_else(|| members().find(same)).and_then(|m| m.id);
    let known: Vec<_> = view.members.iter().map(MemberView::label).collect();
    found.ok_or_else(|| eyre!("no member {text:?}: there are {}", known.join(", ")))
}
