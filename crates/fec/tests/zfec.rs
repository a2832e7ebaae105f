//! The code equals the `zfec` package's, parity symbol by parity symbol; the vectors' first line says how they were made.

use campanile_fec::Code;

#[test]
fn parity_equals_zfec() {
    let lines = include_str!("data/zfec.txt").lines().filter(|line| !line.starts_with('#'));
    let mut compared = 0;
    for line in lines {
        let [k, n, index, parity] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let [k, n, index] = [k, n, index].map(|number| number.parse::<u8>().unwrap());
        let data: Vec<Vec<u8>> = (0..k).map(|symbol| data_symbol(symbol, parity.len() / 2)).collect();
        let data: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
        let mut own = vec![0; parity.len() / 2];
        Code::new(k, n).unwrap().encode(index, &data, &mut own);
        let own: String = own.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(own, parity, "parity {index} of ({k}, {n})");
        compared += 1;
    }
    assert_eq!(compared, 46);
}

fn data_symbol(j: u8, length: usize) -> Vec<u8> {
    let j = usize::from(j);
    (0..length).map(|i| ((31 * j * j + 7 * i + 13 * i * j + 5) % 251) as u8).collect()
}
