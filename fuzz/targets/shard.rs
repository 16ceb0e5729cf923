//! Shards: any bytes are one or are refused, and what is accepted holds together. The first byte chooses whether sizes
//! and checksums are put right first, so that what lies behind them is reached.
#![no_main]

use libfuzzer_sys::fuzz_target;
use megabyte::data::shard::Shard;
use megabyte_fuzz::{file, init};
use xxhash_rust::xxh3::xxh3_64;

/// Makes the header's sizes those of the bytes and the checksums right; the payload takes what the rest leaves.
fn mended(bytes: &[u8]) -> Option<Vec<u8>> {
    let len = u32::from_le_bytes(*bytes.get(12..)?.first_chunk()?) as usize;
    let rest = bytes.get(16usize.checked_add(len)?..)?;
    let mut header: serde_json::Value = serde_json::from_slice(&bytes[16..16 + len]).ok()?;
    let head = header["items"].as_u64()?.checked_mul(64)?.checked_add(header["names"].as_u64()?)?;
    let head = usize::try_from(head).ok()?;
    let payload = rest.len().checked_sub(head.checked_add(16)?)?;
    header["payload"] = payload.into();
    let header = header.to_string();
    let mut shard = [&bytes[..12], &(header.len() as u32).to_le_bytes(), header.as_bytes(), &rest[..head]].concat();
    shard.extend(xxh3_64(&shard).to_le_bytes());
    let payload = &rest[head + 8..head + 8 + payload];
    shard.extend(payload);
    shard.extend(xxh3_64(payload).to_le_bytes());
    Some(shard)
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
