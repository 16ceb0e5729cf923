//! `megabyte download`: a data set by its card.

use std::path::Path;

use anyhow::{Context, bail};
use megabyte::Error;
use megabyte::data::download::{Card, Outcome, card, download};
use megabyte::progress::Progress;
use megabyte::shown::shown;

use super::output;
use crate::cli::DownloadArgs;

/// Obtains a card's data, or lists the cards.
pub fn run(args: DownloadArgs, progress: &dyn Progress) -> anyhow::Result<()> {
    let (Some(name), false) = (&args.card, args.list) else {
        return list();
    };
    let card = card::find(name)?;
    if let Some(obtain) = &card.obtain {
        let prepare = card.prepare.as_ref().map_or(String::new(), |prepare| format!("\nthen: {prepare}"));
        bail!(Error::Usage(format!("{}: has to be fetched by hand. {}{prepare}", card.name, obtain.trim())));
    }
    let out = args.out.context("--out DIR is needed: the folder to write")?;
    match download(&card, &out, progress)? {
        Outcome::Fetched(path) => done(&path, &card, "checked")?,
        Outcome::AlreadyThere(path) => done(&path, &card, "there already and right")?,
        Outcome::Stopped => {
            progress.note(&format!("the same command goes on from what is in {}/.partial", shown(&out)));
            bail!(Error::Interrupted);
        }
    }
    Ok(())
}

fn done(path: &Path, card: &Card, how: &str) -> anyhow::Result<()> {
    let Card { items, bytes, licence, attribution, prepare, .. } = card;
    output::print(&format!("{}: {items} items, {bytes} bytes, {how}", shown(path)))?;
    output::print(&format!("licence: {licence}; {attribution}"))?;
    prepare.as_ref().map_or(Ok(()), |prepare| output::print(&format!("next: {prepare}")))
}

fn list() -> anyhow::Result<()> {
    let cards = card::list()?;
    if cards.is_empty() {
        bail!(
            "there are no cards in ./datasets or beside the program; give a card's path, such as datasets/enwik8.toml"
        );
    }
    for Card { name, modality, bytes, licence, title, obtain, .. } in cards {
        let size = if obtain.is_some() { "by hand".to_owned() } else { format!("{:.1} MB", bytes as f64 / 1e6) };
        output::print(&format!("{name:<16} {:<6} {size:>9}  {title} ({licence})", modality.name()))?;
    }
    Ok(())
}
