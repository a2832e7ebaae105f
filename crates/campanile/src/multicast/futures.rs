//! Publishers and subscribers as `Sink` and `Stream` of the `futures` crates.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_sink::Sink;

use super::publisher::{PublishError, Published, Publisher};
use super::subscriber::{Received, SessionChannel, Subscriber};
use super::waiting::{Place, Waiter};

/// A publisher as a sink of messages, or of a stream's bytes.
///
/// Closing it finishes the session and waits until its linger is over; flushing it waits until what was sent has been queued, and ends
/// the burst.
pub struct PublisherSink {
    publisher: Arc<Publisher>,
    /// The operation that is under way.
    operation: Option<Operation>,
    is_finished: bool,
}

type Operation = Pin<Box<dyn Future<Output = Result<(), PublishError>> + Send>>;

impl Publisher {
    /// The publisher as a sink.
    #[must_use]
    pub fn into_sink(self) -> PublisherSink {
        PublisherSink { publisher: Arc::new(self), operation: None, is_finished: false }
    }
}

impl PublisherSink {
    /// The publisher itself.
    #[must_use]
    pub fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    /// Polls the operation that is under way.
    fn poll_operation(&mut self, context: &mut Context<'_>) -> Poll<Result<(), PublishError>> {
        let Some(operation) = &mut self.operation else { return Poll::Ready(Ok(())) };
        let done = ready!(operation.as_mut().poll(context));
        self.operation = None;
        Poll::Ready(done)
    }
}

impl std::fmt::Debug for PublisherSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PublisherSink").field("publisher", &self.publisher).finish_non_exhaustive()
    }
}

impl Sink<Vec<u8>> for PublisherSink {
    type Error = PublishError;

    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), PublishError>> {
        self.poll_operation(context)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Vec<u8>) -> Result<(), PublishError> {
        let publisher = Arc::clone(&self.publisher);
        self.operation = Some(Box::pin(async move { publisher.send(&message).await }));
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), PublishError>> {
        ready!(self.poll_operation(context))?;
        Poll::Ready(self.publisher.flush())
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), PublishError>> {
        ready!(self.poll_operation(context))?;
        if !std::mem::replace(&mut self.is_finished, true) {
            let publisher = Arc::clone(&self.publisher);
            publisher.finish();
            self.operation = Some(Box::pin(async move {
                loop {
                    match publisher.recv().await {
                        Some(Published::Report { .. }) => {}
                        Some(Published::Finished) => return Ok(()),
                        Some(Published::Failed(_)) | None => return Err(PublishError::Finished),
                    }
                }
            }));
        }
        self.poll_operation(context)
    }
}

/// A subscriber as a stream of what it receives. It ends when the subscriber cannot go on.
#[derive(Debug)]
pub struct SubscriberStream {
    subscriber: Subscriber,
    /// Where the task waits that polls it.
    place: Place,
}

impl Subscriber {
    /// The subscriber as a stream.
    #[must_use]
    pub fn into_stream(self) -> SubscriberStream {
        SubscriberStream { subscriber: self, place: Place::default() }
    }
}

impl SubscriberStream {
    /// The subscriber itself.
    #[must_use]
    pub fn subscriber(&self) -> &Subscriber {
        &self.subscriber
    }
}

impl Stream for SubscriberStream {
    type Item = Received;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Received>> {
        let SubscriberStream { subscriber, place } = &mut *self;
        subscriber.poll(Some(Waiter { place, waker: context.waker() }))
    }
}

/// A session's channel as a stream of what comes of its source. It ends when nothing more will.
#[derive(Debug)]
pub struct SessionStream {
    channel: SessionChannel,
    /// Where the task waits that polls it.
    place: Place,
}

impl SessionChannel {
    /// The channel as a stream.
    #[must_use]
    pub fn into_stream(self) -> SessionStream {
        SessionStream { channel: self, place: Place::default() }
    }
}

impl SessionStream {
    /// The channel itself.
    #[must_use]
    pub fn channel(&self) -> &SessionChannel {
        &self.channel
    }
}

impl Stream for SessionStream {
    type Item = Received;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Received>> {
        let SessionStream { channel, place } = &mut *self;
        channel.poll(Waiter { place, waker: context.waker() })
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use campanile_rig::free_port;

    use super::*;
    use crate::multicast::options::Options;
    use crate::multicast::queue::wait;
    use crate::multicast::subscriber::SessionSubscriber;

    const PATIENCE: Duration = Duration::from_secs(300);

    fn options(mode: &str) -> Options {
        let mut options = Options::default();
        options.network.group.set_port(free_port());
        options.set("unicast-port", &free_port().to_string()).unwrap();
        for (name, value) in [("interface", "127.0.0.1"), ("linger", "2s"), ("mode", mode)] {
            options.set(name, value).unwrap();
        }
        options
    }

    /// Sends two thousand numbers through a sink, and closes it.
    async fn talk(sink: &mut PublisherSink) -> Result<(), PublishError> {
        for number in 0..2000_u32 {
            poll_fn(|context| Pin::new(&mut *sink).poll_ready(context)).await?;
            Pin::new(&mut *sink).start_send(number.to_be_bytes().to_vec())?;
        }
        poll_fn(|context| Pin::new(&mut *sink).poll_flush(context)).await?;
        poll_fn(|context| Pin::new(&mut *sink).poll_close(context)).await
    }

    /// Everything that a stream brings until its session ends.
    async fn listen(mut stream: impl Stream<Item = Received> + Unpin) -> Vec<u8> {
        let mut heard = Vec::new();
        loop {
            let next = poll_fn(|context| Pin::new(&mut stream).poll_next(context));
            match next.await.unwrap() {
                Received::Message { bytes, .. } => heard.extend_from_slice(&bytes),
                Received::Bytes { bytes, .. } => heard.extend_from_slice(&bytes),
                Received::End { .. } => return heard,
                _ => {}
            }
        }
    }

    #[test]
    fn what_goes_into_a_sink_comes_out_of_a_stream() {
        let said: Vec<u8> = (0..2000_u32).flat_map(u32::to_be_bytes).collect();
        for mode in ["messages", "apdu", "stream", "zmq"] {
            let options = options(mode);
            let stream = Subscriber::start(&options).unwrap().into_stream();
            let sessions = SessionSubscriber::start(&options).unwrap();
            let mut sink = Publisher::start(&options).unwrap().into_sink();
            assert_eq!(wait(talk(&mut sink), PATIENCE), Some(Ok(())), "{mode}");
            assert_eq!(Pin::new(&mut sink).start_send(vec![0]), Ok(()));
            let late = poll_fn(|context| Pin::new(&mut sink).poll_ready(context));
            assert_eq!(wait(late, PATIENCE), Some(Err(PublishError::Finished)), "{mode}");
            assert_eq!(wait(listen(stream), PATIENCE), Some(said.clone()), "{mode}");
            let channel = wait(sessions.accepted(), PATIENCE).flatten().unwrap();
            assert_eq!(wait(listen(channel.into_stream()), PATIENCE), Some(said.clone()), "{mode}");
        }
    }
}
