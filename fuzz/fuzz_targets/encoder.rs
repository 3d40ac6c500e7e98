//! Would find: a trace that is decoded and not the same once it is encoded and decoded again; a
//! record without room that leaves traces of itself; a number that does not round trip.
#![no_main]

use gotrace::ids::Offset;
use gotrace::wire::{BatchHead, Batches, Chunk, Encoder, HEADER_LEN, Record, Records, varint};
use gotrace::{Error, ErrorKind};
use gotrace_fuzz::mutate;
use libfuzzer_sys::{fuzz_mutator, fuzz_target};

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate(data, size, max_size, seed)
});

fuzz_target!(|bytes: &[u8]| {
    numbers(bytes);
    let body = bytes.get(HEADER_LEN..).unwrap_or(&[]);
    // Padding is not kept, and nothing else makes what is encoded longer.
    let mut buffer = vec![0; body.len()];
    let mut out = Encoder::new(&mut buffer);
    let mut chunks = Vec::new();
    for chunk in Batches::new(body).map_while(Result::ok) {
        chunks.push(chunk);
        match chunk {
            Chunk::Batch(batch) => {
                out.batch(&batch.head, batch.data).unwrap();
                records(batch.data);
            }
            Chunk::EndOfGeneration(_) => out.end_of_generation().unwrap(),
        }
    }
    let again = Batches::new(out.bytes()).map(Result::unwrap);
    let pairs = again.zip(&chunks).map(|pair| match pair {
        (Chunk::Batch(a), Chunk::Batch(b)) => {
            let header_len = b.head.header_len.min(a.head.header_len);
            let head = BatchHead {
                header_len,
                ..b.head
            };
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
        encode(&mut out, record).unwrap();
    }
    let bytes = out.bytes().to_vec();
    let again = Records::new(&bytes, Offset(0)).map(Result::unwrap);
    assert_eq!(
        again.zip(&read).filter(|(a, b)| same(a, b)).count(),
        read.len()
    );

    // With room for all but the last byte, all but the last record are there.
    if let Some((last, before)) = read.split_last() {
        let mut small = vec![0xaa; bytes.len() - 1];
        let mut out = Encoder::new(&mut small);
        before
            .iter()
            .for_each(|record| encode(&mut out, record).unwrap());
        let len = out.len();
        let error = encode(&mut out, last).unwrap_err();
        assert_eq!((error.kind(), out.len()), (ErrorKind::NoSpace, len));
    }
}

fn same(a: &Record<'_>, b: &Record<'_>) -> bool {
    match (a, b) {
        // Their bytes may be padded differently.
        (Record::Stack(a), Record::Stack(b)) => a.id == b.id && a.frames().eq(b.frames()),
        _ => a == b,
    }
}

fn encode(out: &mut Encoder<'_>, record: &Record<'_>) -> Result<(), Error> {
    match record {
        Record::Section(ty) => out.section(*ty),
        Record::String(s) => out.string(s.id, s.data),
        Record::Stack(s) => out.stack(s.id, s.frames().collect::<Vec<_>>().into_iter()),
        Record::Sample(s) => out.sample(s),
        Record::Frequency(hertz) => out.frequency(*hertz),
        Record::Event(e) => out.event(e),
    }
}
