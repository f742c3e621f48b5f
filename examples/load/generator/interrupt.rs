//! Ctrl-C: the run ends, what it put into folders is removed, and there are no figures.

use std::future::ready;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

/// Whether somebody wants it to end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens for Ctrl-C from now on.
    pub(crate) fn listen() -> Result<Interrupt, String> {
        let interrupt = Interrupt::default();
        let (told, listening) = mpsc::channel();
        let wanted = interrupt.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("cannot listen for Ctrl-C: {error}"))?;
        std::thread::spawn(move || {
            runtime.block_on(async {
                let mut pressed = pin!(tokio::signal::ctrl_c());
                // It is asked for when it is first polled.
                let at_once = tokio::select! {
                    biased;
                    pressed = &mut pressed => Some(pressed),
                    () = ready(()) => None,
                };
                // Whoever waits for this gave up only if the process ends.
                let _ = told.send(());
                let pressed = match at_once {
                    Some(pressed) => pressed,
                    None => pressed.await,
                };
                wanted.0.store(pressed.is_ok(), Ordering::Relaxed);
            });
        });
        listening.recv().map_err(|_| "cannot listen for Ctrl-C".to_owned())?;
        Ok(interrupt)
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        if self.is_wanted() { Err("interrupted".to_owned()) } else { Ok(()) }
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
