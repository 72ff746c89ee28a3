//! What the listener does with HTTP itself: bodies, formats, paths, limits, its end.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Answer, Api, PATIENCE, parse};

const GET_INFO: &[(&str, &str)] = &[("Action", "GetVideoInfo"), ("VideoId", "x y*~+/é")];

async fn refused(api: &Api, request: &str, status: u16, code: &str) -> Answer {
    let answer = api.raw(request).await;
    answer.is_error(status, code);
    answer
}

#[tokio::test]
async fn parameters_come_in_every_way_that_http_has() {
    let api = Api::start().await;
    let close = "host: h\r\nconnection: close\r\n";
    let form = "content-type: application/x-www-form-urlencoded\r\n";
    // Each is authenticated and gets as far as the video that is not there.
    let there = async |request: String| refused(&api, &request, 404, "InvalidVideo.NotFound").await;
    let query = api.signed(GET_INFO);
    there(format!("POST /?{query} HTTP/1.1\r\n{close}\r\n")).await;
    let query = api.signed(GET_INFO);
    there(format!("POST /?{query} HTTP/1.1\r\n{close}content-length: 0\r\n\r\n")).await;
    let query = api.signed_as("GET", ("testid", "testsecret"), GET_INFO);
    there(format!("GET /?{query} HTTP/1.1\r\n{close}\r\n")).await;
    let query = api.signed(GET_INFO).replace("%20", "+").replace("%2A", "*");
    there(format!("POST /?{query} HTTP/1.1\r\n{close}\r\n")).await;
    let body = api.signed(GET_INFO);
    there(format!("POST / HTTP/1.1\r\n{close}{form}content-length: {}\r\n\r\n{body}", body.len())).await;
    let body = api.signed(GET_INFO);
    let (one, two) = body.split_at(40);
    there(format!(
        "POST / HTTP/1.1\r\n{close}{form}transfer-encoding: chunked\r\n\r\n{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n",
        one.len(),
        two.len()
    ))
    .await;
    let all = api.signed(GET_INFO);
    let (common, business): (Vec<&str>, Vec<&str>) =
        all.split('&').partition(|pair| !pair.starts_with("VideoId"));
    let (query, body) = (common.join("&"), business.join("&"));
    there(format!(
        "POST /?{query} HTTP/1.1\r\n{close}content-type: Application/X-WWW-Form-Urlencoded; charset=utf-8\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    ))
    .await;
    let twice = format!("{all}&VideoId=z");
    refused(&api, &format!("POST /?{twice} HTTP/1.1\r\n{close}\r\n"), 400, "InvalidParameter").await;
    refused(&api, &format!("POST /?{all}&a=%zz HTTP/1.1\r\n{close}\r\n"), 400, "InvalidParameter").await;
}

#[tokio::test]
async fn xml_is_answered_when_it_is_asked_for() {
    let api = Api::start().await;
    let video = api.register("a.mp4").await;
    let good = api.call("SubmitSnapshotJob", &[("VideoId", &video), ("Format", "XML")]).await;
    assert_eq!((good.status, good.header("content-type")), (200, Some("text/xml;charset=utf-8")));
    let id = good.header("x-acs-request-id").unwrap();
    let start = format!(
        "<?xml version='1.0' encoding='UTF-8'?><SubmitSnapshotJobResponse><RequestId>{id}</RequestId><SnapshotJob><JobId>"
    );
    assert!(good.text().starts_with(&start), "{}", good.text());
    assert!(good.text().ends_with("</JobId></SnapshotJob></SubmitSnapshotJobResponse>"), "{}", good.text());
    // A bare V1 request gets XML too.
    let bad = api.call("GetVideoInfo", &[("VideoId", "<&>"), ("Format", "")]).await;
    assert_eq!((bad.status, bad.header("content-type")), (404, Some("text/xml;charset=utf-8")));
    assert!(
        bad.text().starts_with("<?xml version='1.0' encoding='UTF-8'?><Error><RequestId>"),
        "{}",
        bad.text()
    );
    assert!(bad.text().contains("<HostId>h</HostId><Code>InvalidVideo.NotFound</Code>"), "{}", bad.text());
}

#[tokio::test]
async fn every_error_is_json() {
    let api = Api::start().await;
    let close = "host: h:1\r\nconnection: close\r\n\r\n";
    for path in
        ["/x", "/api", "//", "/%2e%2e/etc/passwd", "/../etc/passwd", "/index.html?Action=GetVideoInfo"]
    {
        let answer =
            refused(&api, &format!("GET {path} HTTP/1.1\r\n{close}"), 404, "InvalidAction.NotFound").await;
        assert_eq!(answer.json()["HostId"], "h:1");
    }
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS"] {
        refused(&api, &format!("{method} / HTTP/1.1\r\n{close}"), 405, "UnsupportedHTTPMethod").await;
    }
    let head = api.raw(&format!("HEAD / HTTP/1.1\r\n{close}")).await;
    assert_eq!((head.status, head.body.len()), (405, 0));
    refused(&api, &format!("GET / HTTP/1.1\r\n{close}"), 400, "MissingAccessKeyId").await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let api = Api::start().await;
    let head = "POST / HTTP/1.1\r\nhost: h\r\ncontent-type: application/x-www-form-urlencoded\r\n";
    let waiting = format!("{head}content-length: 1048577\r\nexpect: 100-continue\r\n\r\n");
    let answer = refused(&api, &waiting, 413, "InvalidParameter").await;
    assert_eq!(answer.header("connection"), Some("close"));
    let sent = format!("{head}content-length: 3000000\r\n\r\n{}", "a".repeat(3_000_000));
    refused(&api, &sent, 413, "InvalidParameter").await;
    let chunk = format!("100000\r\n{}\r\n", "a".repeat(1 << 20));
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n");
    refused(&api, &chunked, 413, "InvalidParameter").await;
    let exact = format!("{head}connection: close\r\ncontent-length: 1048576\r\n\r\n{}", "a".repeat(1 << 20));
    refused(&api, &exact, 400, "MissingAccessKeyId").await;
}

#[tokio::test]
async fn a_connection_serves_request_after_request() {
    let api = Api::start().await;
    let mut stream = TcpStream::connect(api.address).await.unwrap();
    for _ in 0..3 {
        let query = api.signed(GET_INFO);
        stream.write_all(format!("POST /?{query} HTTP/1.1\r\nhost: h\r\n\r\n").as_bytes()).await.unwrap();
        read_one(&mut stream).await.is_error(404, "InvalidVideo.NotFound");
    }
    // Told to stop, the listener closes idle connections, takes no new ones and ends.
    api.stop.send(true).unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert!(rest.is_empty());
    tokio::time::timeout(PATIENCE, api.served).await.unwrap().unwrap();
    assert!(TcpStream::connect(api.address).await.is_err());
}

#[tokio::test]
async fn connections_beyond_the_cap_wait_for_their_turn() {
    let api = Api::start_with(|settings| settings.api.max_connections = 1).await;
    let mut first = TcpStream::connect(api.address).await.unwrap();
    first.write_all(b"GET /x HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    read_one(&mut first).await.is_error(404, "InvalidAction.NotFound");
    let mut second = TcpStream::connect(api.address).await.unwrap();
    second.write_all(b"GET /x HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    // The first still has the one place and is served again before the second is looked at.
    first.write_all(b"GET /y HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await.unwrap();
    read_one(&mut first).await.is_error(404, "InvalidAction.NotFound");
    read_one(&mut second).await.is_error(404, "InvalidAction.NotFound");
}

#[tokio::test]
async fn only_published_images_are_served() {
    let api = Api::start().await;
    std::fs::write(api.folder.path().join("objects/secret.jpg"), b"x").unwrap();
    let close = "host: h\r\nconnection: close\r\n\r\n";
    let key = "/0123/snapshots/normal/4567-00001.jpg";
    for method in ["GET", "HEAD"] {
        let answer = api.raw(&format!("{method} {key} HTTP/1.1\r\n{close}")).await;
        assert_eq!((answer.status, answer.body.is_empty()), (404, method == "HEAD"));
    }
    refused(&api, &format!("GET {key} HTTP/1.1\r\n{close}"), 404, "NoSuchResource").await;
    refused(&api, &format!("POST {key} HTTP/1.1\r\n{close}"), 405, "UnsupportedHTTPMethod").await;
    for path in [
        "/secret.jpg",
        "/0123/",
        "/0123/snapshots/normal/",
        "/0123/snapshots/normal/.4567-p0.tmp",
        "/0123/snapshots/normal/../../../secret.jpg",
        "/0123/snapshots/normal/%2e%2e/4567-00001.jpg",
        "/..%2fstillframe.db",
        "/0123/snapshots/normal/4567-00001.jpg/",
        "/0123/snapshots/normal/4567-00001.jpg%00",
    ] {
        refused(&api, &format!("GET {path} HTTP/1.1\r\n{close}"), 404, "InvalidAction.NotFound").await;
    }
}

#[tokio::test]
async fn malformed_http_harms_nobody() {
    let api = Api::start().await;
    for request in [
        "\r\n\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET / HTTP/1.1\r\nhost h\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: h\r\n folded: x\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: -5\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        "\0\u{1}\u{2}\r\n\r\n",
    ] {
        let exchange = async {
            let mut stream = TcpStream::connect(api.address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut answer = Vec::new();
            // Cut or answered, both will do; hanging will not.
            drop(stream.read_to_end(&mut answer).await);
            answer
        };
        let answer = tokio::time::timeout(PATIENCE, exchange).await.expect("an end");
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{request:?}");
    }
    let many = (0..101).map(|n| format!("x-h{n}: 1\r\n")).collect::<String>();
    let answer = api.raw(&format!("GET / HTTP/1.1\r\n{many}\r\n")).await;
    assert_eq!(answer.status, 431);
    api.post(&api.signed(GET_INFO)).await.is_error(404, "InvalidVideo.NotFound");
}

async fn read_one(stream: &mut TcpStream) -> Answer {
    let read = async {
        let mut bytes = Vec::new();
        loop {
            let mut more = [0; 4096];
            let n = stream.read(&mut more).await.unwrap();
            bytes.extend_from_slice(&more[..n]);
            let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
                assert_ne!(n, 0, "cut");
                continue;
            };
            let length: usize = parse(&bytes).header("content-length").unwrap().parse().unwrap();
            if bytes.len() >= end + 4 + length {
                return parse(&bytes);
            }
            assert_ne!(n, 0, "cut");
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("an answer")
}
