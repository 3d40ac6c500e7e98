//! Would find: a trace that is decoded and not the same once it is encoded and decoded again; a
//! record without room that leaves traces of itself; a number that does not round trip; a batch filled
//! in place that differs from one that is copied; a record that is longer than it says.
#![no_main]

use gotrace::ErrorKind;
use gotrace::ids::Offset;
use gotrace::wire::{
    Batch, BatchEncoder, BatchHead, Batches, Chunk, Encoder, HEADER_LEN, Records, Version, varint,
};
use gotrace_fuzz::mutate;
use libfuzzer_sys::{fuzz_mutator, fuzz_target};

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate(data, size, max_size, seed)
});

fuzz_target!(|bytes: &[u8]| {
    numbers(bytes);
    let body = bytes.get(HEADER_LEN..).unwrap_or(&[]);
    // Padding of a batch's length is kept, other padding is not, and nothing else makes what is
    // encoded longer.
    let mut buffer = vec![0; body.len()];
    let mut out = Encoder::new(&mut buffer);
    let mut chunks = Vec::new();
    for chunk in Batches::new(body).map_while(Result::ok) {
        chunks.push(chunk);
        match chunk {
            Chunk::Batch(batch) => {
                out.batch(&batch.head, batch.data).unwrap();
                records(batch.data);
                in_place(&batch);
            }
            Chunk::EndOfGeneration(_) => out.end_of_generation().unwrap(),
        }
    }
    let again = Batches::new(out.bytes()).map(Result::unwrap);
    let pairs = again.zip(&chunks).map(|pair| match pair {
        (Chunk::Batch(a), Chunk::Batch(b)) => {
            let head = BatchHead {
                header_len: a.head.header_len,
                ..b.head
            };
            assert!(a.head.header_len <= b.head.header_len);
            (a.head, a.data) == (head, b.data)
        }
        (Chunk::EndOfGeneration(_), Chunk::EndOfGeneration(_)) => true,
        _ => false,
    });
    assert_eq!(pairs.filter(|same| *same).count(), chunks.len());
});

fn numbers(bytes: &[u8]) {
    if let Ok((value, len)) = varint::read(bytes) {
        let (shortest, short) = varint::encode(value);
        assert!(short <= len && short == varint::len(value));
        assert_eq!(varint::read(&shortest[..short]), Ok((value, short)));
    }
}

fn records(data: &[u8]) {
    let mut buffer = vec![0; data.len()];
    let mut out = Encoder::new(&mut buffer);
    let read: Vec<_> = Records::new(data, Offset(0))
        .map_while(Result::ok)
        .collect();
    for record in &read {
        let before = out.len();
        out.record(record).unwrap();
        assert_eq!(out.len() - before, record.encoded_len());
    }
    let bytes = out.bytes().to_vec();
    let again: Vec<_> = Records::new(&bytes, Offset(0))
        .map(Result::unwrap)
        .collect();
    assert!(again == read);

    // With room for all but the last byte, all but the last record are there.
    if let Some((last, before)) = read.split_last() {
        let mut small = vec![0xaa; bytes.len() - 1];
        let mut out = Encoder::new(&mut small);
        before.iter().for_each(|record| out.record(record).unwrap());
        let len = out.len();
        let error = out.record(last).unwrap_err();
        assert_eq!((error.kind(), out.len()), (ErrorKind::NoSpace, len));
    }
}

/// Records put into a batch one by one, as many as have room.
fn in_place(batch: &Batch<'_>) {
    let room = batch.data.len() / 2 + 64;
    let mut filled = BatchEncoder::new(vec![0xaa; room], Version::CURRENT, &batch.head).unwrap();
    let mut expected = Vec::new();
    for record in batch.records().map_while(Result::ok) {
        let len = filled.len();
        match filled.record(&record) {
            Ok(()) => expected.push(record),
            Err(error) => {
                assert_eq!((error.kind(), filled.len()), (ErrorKind::NoSpace, len));
                assert!(len + record.encoded_len() > room);
            }
        }
    }
    let Ok(Some(Chunk::Batch(again))) = Batches::new(filled.finish()).next() else {
        panic!("no batch");
    };
    assert_eq!(again.head.time, batch.head.time);
    if batch.head.experiment.is_none() {
        let records: Vec<_> = again.records().map(Result::unwrap).collect();
        assert!(records == expected);
    }
}
