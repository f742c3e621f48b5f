//! The DevTools protocol to one tab: commands with their answers, and events in between.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, Message, WebSocket, client::client_with_config};

use super::super::STUCK;
use super::observed::Observed;

/// How long one look for a message takes.
const LOOK: Duration = Duration::from_millis(20);

pub(super) struct DevTools {
    socket: WebSocket<TcpStream>,
    /// The number of the last command.
    sent: u64,
    pub(super) observed: Observed,
}

impl DevTools {
    /// `path` is what the browser says the tab's is.
    pub(super) fn connect(address: SocketAddr, path: &str) -> DevTools {
        let stream = TcpStream::connect_timeout(&address, STUCK).expect("the browser is gone");
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(STUCK)).unwrap();
        // A screenshot is one message.
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        let url = format!("ws://{address}{path}");
        let (socket, _) = client_with_config(url, stream, Some(config))
            .unwrap_or_else(|error| panic!("no DevTools connection to {path}: {error}"));
        socket.get_ref().set_read_timeout(Some(LOOK)).unwrap();
        DevTools { socket, sent: 0, observed: Observed::default() }
    }

    /// What a command answers, or why it failed. Events that come meanwhile are noted.
    #[track_caller]
    pub(super) fn call(&mut self, method: &str, params: Value) -> Result<Value, String> {
        let id = self.post(method, params);
        let deadline = Instant::now() + STUCK;
        loop {
            match self.receive() {
                Some(mut answer) if answer["id"] == id => {
                    return match answer["error"]["message"].as_str() {
                        Some(error) => Err(error.to_owned()),
                        None => Ok(answer["result"].take()),
                    };
                }
                _ => assert!(Instant::now() < deadline, "the browser does not answer {method}"),
            }
        }
    }

    /// The same for a command that cannot fail but by a mistake in the test.
    #[track_caller]
    pub(super) fn run(&mut self, method: &str, params: Value) -> Value {
        self.call(method, params).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Notes events until `happened`. `false` when it did not within this time.
    #[track_caller]
    pub(super) fn watch(&mut self, patience: Duration, happened: impl Fn(&Observed) -> bool) -> bool {
        let deadline = Instant::now() + patience;
        while !happened(&self.observed) {
            if Instant::now() > deadline {
                return false;
            }
            self.receive();
        }
        true
    }

    fn post(&mut self, method: &str, params: Value) -> u64 {
        self.sent += 1;
        let text = json!({ "id": self.sent, "method": method, "params": params }).to_string();
        self.socket.send(Message::text(text)).unwrap_or_else(|error| panic!("the tab is gone at {method}: {error}"));
        self.sent
    }

    /// A message, if one comes soon.
    fn receive(&mut self) -> Option<Value> {
        let message = match self.socket.read() {
            Ok(message) => message,
            Err(Error::Io(error))
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) =>
            {
                return None;
            }
            Err(error) => panic!("the tab is gone: {error}"),
        };
        let message: Value = serde_json::from_str(message.to_text().ok()?).ok()?;
        if let Some(method) = message["method"].as_str() {
            self.observed.note(method, &message["params"]);
            // Until somebody answers it, the page and every command would stand still.
            if method == "Page.javascriptDialogOpening" {
                self.post("Page.handleJavaScriptDialog", json!({ "accept": true }));
            }
        }
        Some(message)
    }
}
