//! What one password costs: ours, beside the two implementations that it is made of, and beside a hash that has to ask the
//! system for its memory each time. Also prints the page faults of each, which are none where memory is kept.
//!
//! `cargo bench --bench hash`

use std::hint::black_box;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use criterion::{Criterion, criterion_group, criterion_main};
use signet::account::password::Password;
use signet::config::HashingConfig;
use signet::hasher::Hasher;
use signet::metrics::Metrics;

const PASSWORD: &str = "correct horse battery";
const SALT: &[u8] = b"sixteen bytes of";

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(50);
    targets = hash
}
criterion_main!(benches);

fn hash(criterion: &mut Criterion) {
    println!("The fast implementation uses {} here.", argon2_rust::detected_backend());
    for (name, mut one_hash) in [
        ("ours, queue and thread included", ours()),
        ("argon2-rust, memory kept", fast()),
        ("argon2, memory kept", reference_with_kept_memory()),
        ("argon2, memory fresh", reference_with_fresh_memory()),
    ] {
        criterion.bench_function(name, |bencher| bencher.iter(&mut one_hash));
        println!("{name}: {:.1} page faults a hash", page_faults_per_call(&mut one_hash));
    }
    // They share the memory's bandwidth: this is what log-ins could have if they were nothing but hashes.
    let mut one_on_each = on_every_core();
    criterion.bench_function("every core at once, one hash on each", |bencher| bencher.iter(&mut one_on_each));
}

type OneHash = Box<dyn FnMut()>;

fn ours() -> OneHash {
    at_once(1)
}

fn on_every_core() -> OneHash {
    at_once(HashingConfig::default().threads())
}

fn at_once(threads: usize) -> OneHash {
    let config = HashingConfig { threads, ..HashingConfig::default() };
    let hasher = Hasher::start(&config, Metrics::default()).expect("threads start");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let password = Password::parse(PASSWORD).expect("valid");
    let stored = runtime.block_on(hasher.hash(&password, None)).expect("hashed");
    Box::new(move || {
        let hashes = (0..threads).map(|_| hasher.verify(&password, Some(&stored), None));
        let verdicts = runtime.block_on(futures_util::future::join_all(hashes));
        assert!(black_box(verdicts).iter().all(Result::is_ok));
    })
}

fn fast() -> OneHash {
    // What it takes by default is what we take by default.
    let cost = argon2_rust::Params::default();
    let argon2 = argon2_rust::Argon2::new(argon2_rust::Algorithm::Argon2id, argon2_rust::Version::V0x13, cost);
    let mut hasher = argon2.hasher();
    assert_eq!(hasher.params().memory_kib(), HashingConfig::default().memory_kib);
    assert_eq!(hasher.params().passes(), HashingConfig::default().iterations);
    let mut output = [0; 32];
    Box::new(move || hasher.hash_into(black_box(PASSWORD.as_bytes()), SALT, black_box(&mut output)).expect("hashed"))
}

fn reference() -> Argon2<'static> {
    let HashingConfig { memory_kib, iterations, parallelism, .. } = HashingConfig::default();
    let params = Params::new(memory_kib, iterations, parallelism, None).expect("valid");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn reference_with_kept_memory() -> OneHash {
    let reference = reference();
    let mut memory = vec![Block::default(); reference.params().block_count()];
    let mut output = [0; 32];
    Box::new(move || {
        let password = black_box(PASSWORD.as_bytes());
        reference.hash_password_into_with_memory(password, SALT, black_box(&mut output), &mut memory).expect("hashed");
    })
}

fn reference_with_fresh_memory() -> OneHash {
    let reference = reference();
    let mut output = [0; 32];
    Box::new(move || {
        reference.hash_password_into(black_box(PASSWORD.as_bytes()), SALT, black_box(&mut output)).expect("hashed");
    })
}

/// Of the whole process, once it is warm.
fn page_faults_per_call(call: &mut OneHash) -> f64 {
    const CALLS: u32 = 50;
    let before = page_faults();
    for _ in 0..CALLS {
        call();
    }
    f64::from(page_faults() - before) / f64::from(CALLS)
}

/// `minflt` of `/proc/self/stat` (proc_pid_stat(5)), the tenth field; the second one is a name in parentheses.
fn page_faults() -> u32 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let (_, after_name) = stat.rsplit_once(')').expect("a name");
    after_name.split_whitespace().nth(7).and_then(|field| field.parse().ok()).expect("a number")
}
