//! One run: groups of clients that call a server for a while, and what it cost meanwhile.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

use crate::client::Client;
use crate::mix::{Mix, Rota};
use crate::pace::Pace;
use crate::tally::Tally;
use crate::watch::{self, Usage, Watched};

/// Clients that make the same calls.
pub struct Group {
    pub mix: Mix,
    pub clients: Vec<Client>,
}

/// What a group is told, and what it found.
struct Shift {
    pace: Pace,
    rota: Rota,
    names: Vec<Arc<str>>,
    tally: RefCell<Tally>,
    failure: Cell<Option<String>>,
}

/// What was seen while a run counted.
pub struct Seen {
    pub seconds: f64,
    pub usage: BTreeMap<String, Usage>,
}

/// What one group found.
pub struct Found {
    pub tally: Tally,
    /// Requests that were due and never began.
    pub missed: u64,
}

/// So many clients prepare themselves at a time: log-ins are dear, and a server refuses too many at once.
const PREPARING: usize = 8;

impl Group {
    /// Lets each client call what comes before its calls.
    ///
    /// # Errors
    /// The call that keeps failing.
    pub async fn prepare(&mut self) -> Result<(), String> {
        let turns = Rc::new(Semaphore::new(PREPARING));
        let names = self.mix.names();
        let mut tasks = JoinSet::new();
        for mut client in std::mem::take(&mut self.clients) {
            let (turns, names) = (Rc::clone(&turns), names.clone());
            tasks.spawn_local(async move {
                let _turn = turns.acquire().await.map_err(|error| error.to_string())?;
                client.prepare(&names).await.map(|()| client)
            });
        }
        while let Some(prepared) = tasks.join_next().await {
            self.clients.push(prepared.map_err(|error| error.to_string())??);
        }
        Ok(())
    }
}

/// Runs all groups at once, each at its own pace; the first one's says when what is observed counts.
///
/// # Errors
/// If a client cannot go on.
pub async fn run(groups: &mut [(Group, Pace)], watched: &[Watched]) -> Result<(Vec<Found>, Seen), String> {
    let (from, until) = groups.first().map(|(_, pace)| (pace.from, pace.until)).ok_or("nobody to run")?;
    let mut shifts = Vec::new();
    let mut tasks = JoinSet::new();
    for (index, (group, pace)) in groups.iter_mut().enumerate() {
        let pace = std::mem::replace(pace, Pace::closed(from, until - from, until - from, Some(0)));
        let shift = Rc::new(Shift {
            pace,
            rota: group.mix.rota(),
            names: group.mix.names(),
            tally: RefCell::default(),
            failure: Cell::new(None),
        });
        let (clock, clients) = (Rc::clone(&shift), group.clients.len());
        let pacing = tokio::task::spawn_local(async move { clock.pace.run(clients).await });
        for client in std::mem::take(&mut group.clients) {
            let shift = Rc::clone(&shift);
            tasks.spawn_local(async move { (index, work(client, &shift).await) });
        }
        shifts.push((shift, pacing));
    }
    let all_ended = Notify::new();
    let (seen, ended) = tokio::join!(observe(from, until, &all_ended, watched), async {
        let mut ended = Vec::new();
        while let Some(one) = tasks.join_next().await {
            ended.push(one);
        }
        all_ended.notify_one();
        ended
    });
    for one in ended {
        let (index, client) = one.map_err(|error| error.to_string())?;
        groups[index].0.clients.push(client);
    }
    let mut found = Vec::new();
    for (shift, pacing) in shifts {
        pacing.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        if let Some(failure) = shift.failure.take() {
            return Err(failure);
        }
        found.push(Found { tally: shift.tally.take(), missed: shift.pace.missed() });
    }
    Ok((found, seen))
}

async fn work(mut client: Client, shift: &Shift) -> Client {
    let counts = (shift.pace.from, shift.pace.until);
    while let Some(start) = shift.pace.next().await {
        if let Err(failure) = client.prepare(&shift.names).await {
            shift.failure.set(Some(failure));
            break;
        }
        // A closed loop waits for its own preparations; at a fixed rate whoever comes late, for whatever reason, is late.
        let start_at = if shift.pace.is_fixed() { start.at } else { Instant::now() };
        let call = shift.rota.next();
        let answered = client.perform(&call, start.number).await;
        shift.tally.borrow_mut().record(&call, start_at, Instant::now(), counts, answered);
    }
    client
}

async fn observe(from: Instant, until: Instant, all_ended: &Notify, watched: &[Watched]) -> Seen {
    tokio::time::sleep_until(from.into()).await;
    let (begun, before) = (Instant::now(), watch::usage(watched));
    tokio::select! {
        () = tokio::time::sleep_until(until.into()) => {}
        () = all_ended.notified() => {} // there were only so many requests
    }
    let (seconds, after) = (begun.elapsed().as_secs_f64(), watch::usage(watched));
    let since = |name: &String| before.get(name).copied().unwrap_or_default();
    let usage = after.into_iter().map(|(name, used)| (name.clone(), used.since(since(&name)))).collect();
    Seen { seconds, usage }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::calls::Calls;
    use crate::client::Target;
    use crate::template::Values;

    /// Answers every request on every connection; `answer` is told how many there were before.
    async fn serve(answer: fn(u64) -> (Duration, &'static str)) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let count = Rc::new(Cell::new(0));
        tokio::task::spawn_local(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let count = Rc::clone(&count);
                tokio::task::spawn_local(async move {
                    let mut request = [0; 1024];
                    while matches!(stream.read(&mut request).await, Ok(1..)) {
                        let (stall, text) = answer(count.get());
                        count.set(count.get() + 1);
                        tokio::time::sleep(stall).await;
                        stream.write_all(text.as_bytes()).await.expect("the client reads");
                    }
                });
            }
        });
        address
    }

    fn drive(answer: fn(u64) -> (Duration, &'static str), clients: usize, pace: impl FnOnce() -> Pace) -> Found {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let calls = Rc::new(Calls::parse(r#"calls.a = { method = "GET", path = "/" }"#).expect("well formed"));
            let target = Target { host: "test".to_owned(), address: serve(answer).await };
            let clients = (0..clients).map(|_| Client::new(&calls, &target, Values::new())).collect();
            let group = Group { mix: "a".parse().expect("a mix"), clients };
            let (mut found, _) = run(&mut [(group, pace())], &[]).await.expect("it runs");
            found.pop().expect("of the only group")
        })
    }

    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    const BUSY: &str = "HTTP/1.1 503 Busy\r\nContent-Length: 21\r\n\r\n{\"code\":\"overloaded\"}";

    #[test]
    fn a_closed_loop_makes_every_request_once_and_counts_every_kind_of_answer() {
        let answer = |number| (Duration::ZERO, if number % 5 == 4 { BUSY } else { OK });
        let minute = Duration::from_secs(60);
        let found = drive(answer, 3, || Pace::closed(Instant::now(), Duration::ZERO, minute, Some(100)));
        let expected = BTreeMap::from([("200".to_owned(), 80), ("503 overloaded".to_owned(), 20)]);
        assert_eq!(found.tally.calls["a"].answers, expected);
        assert_eq!(found.tally.calls["a"].latency.len(), 80);
        assert_eq!(found.tally.answered, 100);
    }

    /// The server stalls once, for 200 ms, while requests are due every 10 ms: whoever measures from when it sends sees one
    /// slow request, and here are those that had to wait behind it.
    #[test]
    fn at_a_fixed_rate_a_stall_shows_in_every_request_that_was_due_meanwhile() {
        let answer = |number| (Duration::from_millis(if number == 20 { 200 } else { 0 }), OK);
        let second = Duration::from_secs(1);
        let found = drive(answer, 1, || Pace::fixed(Instant::now(), Duration::ZERO, second, None, 100.0));
        let latency = &found.tally.calls["a"].latency;
        assert_eq!((latency.len(), found.missed), (100, 0));
        let slow = 100 - latency.count_between(0, 50_000_000);
        assert!(slow >= 14, "{slow} requests took longer than 50 ms; 15 were due in the first 150 ms of the stall");
    }
}
