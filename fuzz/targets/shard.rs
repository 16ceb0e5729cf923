//! Shards: any bytes are one or are refused, and what is accepted holds together. The first byte chooses whether sizes
//! and checksums are put right first, so that what lies behind them is reached.
#![no_main]

use libfuzzer_sys::fuzz_target;
use megabyte::data::shard::Shard;
use megabyte_fuzz::{file, init};
use xxhash_rust::xxh3::xxh3_64;

/// Makes the header's sizes those of the bytes and the checksums right; the payload takes what the rest leaves.
fn mended(bytes: &[u8]) -> Option<Vec<u8>> {
    let (rest, tail) = bytes.split_last_chunk::<24>()?;
    let len = u64::from_le_bytes(*tail[8..].first_chunk()?);
    let (rest, header) = rest.split_at_checked(rest.len().checked_sub(len.try_into().ok()?)?)?;
    let mut header: serde_json::Value = serde_json::from_slice(header).ok()?;
    let index = header["items"].as_u64()?.checked_mul(64)?.checked_add(header["names"].as_u64()?)?;
    let payload = rest.len().checked_sub(usize::try_from(index).ok()?.checked_add(16)?)?;
    header["payload"] = payload.into();
    let header = header.to_string();
    let checksum = xxh3_64(&rest[16..16 + payload]);
    let mut after = [&rest[16 + payload..], header.as_bytes(), &checksum.to_le_bytes()].concat();
    after.extend((header.len() as u64).to_le_bytes());
    let checksum = xxh3_64(&[&rest[..16], &after].concat());
    Some([&rest[..16 + payload], &after, &checksum.to_le_bytes()].concat())
}

fuzz_target!(init: init(), |data: &[u8]| {
    let Some((&mode, bytes)) = data.split_first() else { return };
    let mended = if mode % 4 > 0 { mended(bytes) } else { None };
    let (_file, path) = file(mended.as_deref().unwrap_or(bytes));
    let Ok(shard) = Shard::open(&path) else { return };
    let verified = shard.verify().is_ok();
    assert!(verified || mended.is_none());
    let items: Vec<(&[u8], bool)> = (0..shard.len()).map(|i| shard.item(i)).collect();
    assert_eq!(items.iter().map(|(bytes, _)| bytes.len() as u64).sum::<u64>(), shard.bytes());
    assert_eq!(items.iter().filter(|(_, ends)| *ends).count() as u64, shard.ends());
    for i in 0..shard.len() {
        let _ = (shard.name(i), shard.hash(i));
    }
    // Every place lies in the item that is found, at its distance from the first one.
    for with_ends in [false, true] {
        let len = |i: usize| items[i].0.len() as u64 + u64::from(with_ends && items[i].1);
        let total: u64 = (0..shard.len()).map(len).sum();
        for place in (0..total).step_by((total as usize / 64).max(1)) {
            let (item, behind) = shard.find(place, with_ends);
            assert!(behind < len(item), "{place} is found {behind} behind the start of item {item}");
            assert_eq!((0..item).map(len).sum::<u64>() + behind, place);
        }
    }
});
