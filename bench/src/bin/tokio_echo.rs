//! A straightforward echo server with tokio, on one thread. `tokio_echo PORT`

use campanile_bench::arguments::Arguments;
use campanile_bench::socket::serve;
use tokio::net::UdpSocket;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = Arguments::parse(std::env::args().skip(1));
    let port = arguments.word("port")?;
    arguments.end()?;
    let socket = serve(port)?;
    socket.set_nonblocking(true)?;
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(async move {
        let socket = UdpSocket::from_std(socket)?;
        let mut bytes = vec![0; 65536];
        loop {
            let (len, peer) = socket.recv_from(&mut bytes).await?;
            socket.send_to(&bytes[..len], peer).await?;
        }
    })
}
