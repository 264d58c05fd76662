//! The few calls of librdkafka that `rdkafka` does not offer, made safe: queues of our own, messages handed over in
//! bulk, the cached watermarks. All `unsafe` of the consumer is here.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::Duration;

use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{ClientContext, TopicPartitionList};
use rdkafka_sys as sys;

use crate::model::position::TopicId;

/// Wakes the consumer thread from its sleep. Made before the thread is.
#[derive(Debug, Default)]
pub struct Waker(OnceLock<Thread>);

impl Waker {
    /// From now on the calling thread is the one to wake.
    pub fn adopt_current(&self) {
        // A second thread would be a mistake of ours; the first stays.
        let _ = self.0.set(std::thread::current());
    }

    pub fn wake(&self) {
        if let Some(thread) = self.0.get() {
            thread.unpark();
        }
    }
}

/// A queue of librdkafka, which cannot outlive its client.
pub struct Queue<'c> {
    queue: NonNull<sys::rd_kafka_queue_t>,
    client: NonNull<sys::rd_kafka_t>,
    /// What librdkafka's callback points at while it is set.
    waker: Option<Arc<Waker>>,
    lifetime: PhantomData<&'c ()>,
}

impl<'c> Queue<'c> {
    /// A new, empty queue.
    pub fn new<C: ConsumerContext>(consumer: &'c BaseConsumer<C>) -> Queue<'c> {
        let client = client_of(consumer);
        // SAFETY: the client lives as long as `'c`; the call returns a queue with a reference that is ours.
        let queue = unsafe { sys::rd_kafka_queue_new(client.as_ptr()) };
        Queue::own(client, queue).expect("librdkafka aborts rather than to run out of memory")
    }

    /// The queue on which rebalances, errors and the answers to commits arrive. `None` without a group.
    pub fn of_consumer<C: ConsumerContext>(consumer: &'c BaseConsumer<C>) -> Option<Queue<'c>> {
        let client = client_of(consumer);
        // SAFETY: as in `new`; null without a group.
        let queue = unsafe { sys::rd_kafka_queue_get_consumer(client.as_ptr()) };
        Queue::own(client, queue)
    }

    fn own(client: NonNull<sys::rd_kafka_t>, queue: *mut sys::rd_kafka_queue_t) -> Option<Queue<'c>> {
        NonNull::new(queue).map(|queue| Queue { queue, client, waker: None, lifetime: PhantomData })
    }

    /// Ops that wait.
    pub fn len(&self) -> usize {
        // SAFETY: the queue is ours until `drop`.
        unsafe { sys::rd_kafka_queue_length(self.queue.as_ptr()) }
    }

    /// Messages of this partition arrive here from now on. To be called before the partition is assigned: a stop of
    /// fetching undoes it.
    pub fn adopt(&self, topic: &str, partition: i32) {
        let topic = CString::new(topic).expect("topic names come from Kafka, which has no NUL in them");
        // SAFETY: client and topic are valid for the call, which returns a reference of ours or null. Forwarding
        // keeps its own references to both queues, so ours to the partition's may go.
        unsafe {
            let source = sys::rd_kafka_queue_get_partition(self.client.as_ptr(), topic.as_ptr(), partition);
            if !source.is_null() {
                sys::rd_kafka_queue_forward(source, self.queue.as_ptr());
                sys::rd_kafka_queue_destroy(source);
            }
        }
    }

    /// Has `waker` called whenever the queue ceases to be empty.
    pub fn wake_on_arrival(&mut self, waker: Arc<Waker>) {
        unsafe extern "C" fn arrived(_: *mut sys::rd_kafka_t, waker: *mut c_void) {
            // SAFETY: `waker` is the one the queue holds until it has taken the callback away, which it does under
            // the lock the callback is called with.
            unsafe { &*waker.cast::<Waker>() }.wake();
        }
        let opaque = Arc::as_ptr(&waker).cast_mut().cast::<c_void>();
        // SAFETY: `opaque` stays valid, see above.
        unsafe { sys::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), Some(arrived), opaque) };
        self.waker = Some(waker);
    }

    /// Hands up to `room.len()` messages to `take` and says how many there were. Never waits.
    ///
    /// For queues to which nothing but partitions is forwarded: other ops would be taken for messages.
    pub fn take(&self, room: &mut Room, take: &mut dyn FnMut(Message<'_>)) -> usize {
        let Room(slots) = room;
        // SAFETY: the queue is ours, and the slots are as many as we say.
        let count =
            unsafe { sys::rd_kafka_consume_batch_queue(self.queue.as_ptr(), 0, slots.as_mut_ptr(), slots.len()) };
        let messages = Messages(&slots[..usize::try_from(count).unwrap_or(0)]);
        for message in messages.0 {
            // SAFETY: librdkafka filled the slot, and the message is valid until it is given back.
            take(Message(unsafe { &**message }));
        }
        messages.0.len()
    }
}

/// Where a queue puts the messages it hands over.
pub struct Room(Vec<*mut sys::rd_kafka_message_t>);

impl Room {
    pub fn new(messages: usize) -> Room {
        Room(vec![ptr::null_mut(); messages])
    }
}

/// Messages to be given back, whatever happens meanwhile: a client waits for them when it is destroyed.
struct Messages<'a>(&'a [*mut sys::rd_kafka_message_t]);

impl Drop for Messages<'_> {
    fn drop(&mut self) {
        for message in self.0 {
            // SAFETY: librdkafka gave it to us, and nobody uses it any more.
            unsafe { sys::rd_kafka_message_destroy(*message) };
        }
    }
}

impl Drop for Queue<'_> {
    fn drop(&mut self) {
        // SAFETY: the client still lives (`'c`), and the reference is ours to give up. Once the callback is gone
        // nothing points at the waker.
        unsafe {
            if self.waker.is_some() {
                sys::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut());
            }
            sys::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

/// A message while librdkafka lends it to us.
#[derive(Clone, Copy)]
pub struct Message<'m>(&'m sys::rd_kafka_message_t);

impl<'m> Message<'m> {
    /// Tells topics apart without reading their names. Good while any partition of the topic is assigned.
    pub fn topic_key(&self) -> usize {
        self.0.rkt as usize
    }

    pub fn topic(&self) -> &'m str {
        if self.0.rkt.is_null() {
            return "";
        }
        // SAFETY: the topic outlives the message, and so does its name, which is ASCII.
        unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(self.0.rkt)) }.to_str().unwrap_or("")
    }

    pub fn partition(&self) -> i32 {
        self.0.partition
    }

    pub fn offset(&self) -> i64 {
        self.0.offset
    }

    /// Epoch milliseconds; −1 where the record has none.
    pub fn timestamp(&self) -> i64 {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: reads two fields of the message.
        unsafe { sys::rd_kafka_message_timestamp(self.0, &mut kind) }
    }

    /// `None` for a tombstone.
    pub fn payload(&self) -> Option<&'m [u8]> {
        // SAFETY: librdkafka says `len` bytes stand at `payload`, until the message is given back.
        unsafe { lent(self.0.payload, self.0.len) }
    }

    pub fn key(&self) -> Option<&'m [u8]> {
        // SAFETY: as for the payload.
        unsafe { lent(self.0.key, self.0.key_len) }
    }

    /// The last header of this name.
    pub fn header(&self, name: &CStr) -> Option<&'m [u8]> {
        let (mut headers, mut value, mut length) = (ptr::null_mut(), ptr::null(), 0);
        // SAFETY: headers are parsed on demand and belong to the message, as do their values; the rest is valid for the
        // calls.
        unsafe {
            let no_error = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
            if sys::rd_kafka_message_headers(self.0, &mut headers) != no_error
                || sys::rd_kafka_header_get_last(headers, name.as_ptr(), &mut value, &mut length) != no_error
            {
                return None;
            }
            lent(value, length)
        }
    }

    /// Set where this is no record but an event of the partition, such as its end.
    pub fn error(&self) -> Option<RDKafkaErrorCode> {
        match self.0.err {
            sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => None,
            error => Some(error.into()),
        }
    }
}

/// Bytes that librdkafka lends, where there are any.
///
/// # Safety
/// `length` bytes stand at `bytes` for as long as `'m`, or `bytes` is null.
unsafe fn lent<'m>(bytes: *const c_void, length: usize) -> Option<&'m [u8]> {
    // SAFETY: as the caller says.
    (!bytes.is_null()).then(|| unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), length) })
}

/// Commits `offsets`; how it ended is told to the context's `commit_callback`. The call `rdkafka` has for this tells it
/// to a callback which it does not set.
pub fn commit<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    offsets: &TopicPartitionList,
    answer: &Queue<'_>,
) -> Result<(), RDKafkaErrorCode> {
    // SAFETY: client and queue are alive, the list is copied, and no callback is given.
    let error = unsafe {
        sys::rd_kafka_commit_queue(
            client_of(consumer).as_ptr(),
            offsets.ptr(),
            answer.queue.as_ptr(),
            None,
            ptr::null_mut(),
        )
    };
    match error {
        sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        error => Err(error.into()),
    }
}

/// The id of the broker that creates topics, as the cluster tells; it may be none that there is.
pub fn controller<C: ClientContext>(client: &Client<C>, within: Duration) -> Option<i32> {
    let within = i32::try_from(within.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client is alive.
    let id = unsafe { sys::rd_kafka_controllerid(client.native_ptr(), within) };
    (id >= 0).then_some(id)
}

/// The ids of topics, as far as the cluster tells them. Waits for the answer. The cluster needs a broker that is its
/// controller, or the answer is that time is up.
pub fn topic_ids<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topics: &[&str],
    within: Duration,
) -> BTreeMap<String, TopicId> {
    let names: Vec<CString> = topics.iter().filter_map(|topic| CString::new(*topic).ok()).collect();
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let within = i32::try_from(within.as_millis()).unwrap_or(i32::MAX);
    let client = client_of(consumer).as_ptr();
    let answers = Queue::new(consumer);
    let mut ids = BTreeMap::new();
    // SAFETY: the client and the queue are alive, the names are copied; what is made here is given back here, and what is
    // read of the answer belongs to it and is copied before that goes. All calls take null for an answer without topics.
    unsafe {
        let options =
            sys::rd_kafka_AdminOptions_new(client, sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
        sys::rd_kafka_AdminOptions_set_request_timeout(options, within, ptr::null_mut(), 0);
        let collection = sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        sys::rd_kafka_DescribeTopics(client, collection, options, answers.queue.as_ptr());
        sys::rd_kafka_TopicCollection_destroy(collection);
        sys::rd_kafka_AdminOptions_destroy(options);
        let event = sys::rd_kafka_queue_poll(answers.queue.as_ptr(), within);
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        if !result.is_null() {
            let mut count = 0;
            let described = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
            for at in 0..count {
                let topic = *described.add(at);
                let id = sys::rd_kafka_TopicDescription_topic_id(topic);
                let unknown = id.is_null()
                    || (sys::rd_kafka_Uuid_most_significant_bits(id), sys::rd_kafka_Uuid_least_significant_bits(id))
                        == (0, 0);
                if !unknown {
                    let name = CStr::from_ptr(sys::rd_kafka_TopicDescription_name(topic));
                    let id = CStr::from_ptr(sys::rd_kafka_Uuid_base64str(id));
                    ids.insert(name.to_string_lossy().into_owned(), TopicId(id.to_string_lossy().into()));
                }
            }
        }
        if !event.is_null() {
            sys::rd_kafka_event_destroy(event);
        }
    }
    ids
}

/// Whether the client has a name in its group: from its joining until it has said that it leaves.
pub fn is_member<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> bool {
    let client = client_of(consumer).as_ptr();
    // SAFETY: the client is alive; the call returns a text that is ours to give back, or null.
    unsafe {
        let name = sys::rd_kafka_memberid(client);
        let named = !name.is_null() && *name != 0;
        sys::rd_kafka_mem_free(client, name.cast());
        named
    }
}

/// The low and high watermark of a partition as the last fetch told them; no request is made.
pub fn cached_watermarks<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &CStr,
    partition: i32,
) -> Option<(i64, i64)> {
    let (mut low, mut high) = (-1, -1);
    // SAFETY: all pointers are valid for the call.
    let error = unsafe {
        sys::rd_kafka_get_watermark_offsets(
            client_of(consumer).as_ptr(),
            topic.as_ptr(),
            partition,
            &mut low,
            &mut high,
        )
    };
    let known = error == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0;
    known.then_some((low, high))
}

fn client_of<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> NonNull<sys::rd_kafka_t> {
    NonNull::new(consumer.client().native_ptr()).expect("a client is never null")
}
