//! A straightforward echo server with compio, on one thread and io_uring. `compio_echo PORT`

use campanile_bench::arguments::Arguments;
use campanile_bench::socket::serve;
use compio::BufResult;
use compio::net::UdpSocket;
use compio::runtime::Runtime;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = Arguments::parse(std::env::args().skip(1));
    let port = arguments.word("port")?;
    arguments.end()?;
    let socket = serve(port)?;
    Runtime::new()?.block_on(async move {
        let socket = UdpSocket::from_std(socket)?;
        let mut bytes = Vec::with_capacity(65536);
        loop {
            bytes.clear();
            let BufResult(received, filled) = socket.recv_from(bytes).await;
            let (_, peer) = received?;
            let BufResult(sent, unused) = socket.send_to(filled, peer).await;
            sent?;
            bytes = unused;
        }
    })
}
