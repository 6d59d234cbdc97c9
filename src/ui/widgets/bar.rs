//! The bar of a member's file: in use, reclaimable, and what is left of the quota.

use ratatui::layout::Rect;

use crate::model::{Bytes, MemberView};
use crate::ui::canvas::Canvas;

/// What a bar is drawn from.
#[derive(Clone, Copy, Debug)]
pub(in crate::ui) struct Parts {
    pub(in crate::ui) in_use: Option<Bytes>,
    pub(in crate::ui) size: Bytes,
    /// The full length.
    pub(in crate::ui) whole: Bytes,
}

impl Parts {
    /// From the member's figures; the whole is the larger of what is asked for and its own size, because a file may
    /// be above its quota.
    pub(in crate::ui) fn of(m: &MemberView, whole: Bytes) -> Option<Self> {
        let status = m.status.as_ref()?;
        let size = status.db_size?;
        // Absurd figures (more in use than allocated) must not draw outside.
        let in_use = status.db_size_in_use.map(|b| b.min(size));
        Some(Self { in_use, size, whole: whole.max(size) })
    }
}

/// Cells of `columns` for a share; something is at least one cell.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // clamped
fn cells(share: f64, columns: u16) -> u16 {
    if share <= 0.0 {
        return 0;
    }
    ((share * f64::from(columns)).round() as u16).clamp(1, columns)
}

pub(in crate::ui) fn draw(canvas: &mut Canvas<'_>, area: Rect, parts: Parts) {
    let allocated = cells(parts.size.share_of(parts.whole), area.width);
    let used = parts.in_use.map_or(0, |b| cells(b.share_of(parts.whole), area.width)).min(allocated);
    let (theme, glyphs) = (canvas.theme, canvas.glyphs);
    let segment = |glyph: &str, n: u16| glyph.repeat(usize::from(n));
    canvas.spans(
        area,
        0,
        &[
            (&segment(glyphs.in_use, used), theme.in_use),
            (&segment(glyphs.reclaimable, allocated - used), theme.reclaimable),
            (&segment(glyphs.free, area.width - allocated), theme.quota),
        ],
    );
}

/// The length that all bars of a cluster share: the largest quota; without one, the largest file.
pub(in crate::ui) fn common_whole(members: &[MemberView]) -> Bytes {
    let quotas = members.iter().filter_map(|m| Some(m.quota()?.0)).max();
    let sizes = members.iter().filter_map(|m| m.status.as_ref()?.db_size).max();
    quotas.or(sizes).unwrap_or_default()
}
