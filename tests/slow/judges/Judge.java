import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Map;
import java.util.zip.GZIPInputStream;

/** Prints size, SHA-256, mode and path of each member of a .tar.gz: POSIX ustar and pax, as little as a reader can know. */
public class Judge {
    public static void main(String[] arguments) throws Exception {
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        try (DataInputStream in = new DataInputStream(new GZIPInputStream(
                new BufferedInputStream(Files.newInputStream(Path.of(arguments[0])), 1 << 20), 1 << 20))) {
            Map<String, String> pax = new HashMap<>();
            byte[] block = new byte[512];
            for (in.readFully(block); block[0] != 0; in.readFully(block)) {
                long size = pax.containsKey("size") ? Long.parseLong(pax.get("size")) : octal(block, 124, 12);
                if (block[156] == 'x') {
                    pax = records(in.readNBytes((int) size));
                } else if (block[156] == '0') {
                    String prefix = text(block, 345, 155);
                    String name = (prefix.isEmpty() ? "" : prefix + "/") + text(block, 0, 100);
                    String digest = digest(in, size);
                    out.printf("%d %s %o %s%n", size, digest, octal(block, 100, 8), pax.getOrDefault("path", name));
                    pax = new HashMap<>();
                } else {
                    throw new IOException("a member that is no file: " + (char) block[156]);
                }
                in.skipNBytes((512 - size % 512) % 512);
            }
            while (in.read() >= 0) { // to the end, where the CRC and the size are checked
            }
        }
        out.flush();
    }

    private static String digest(DataInputStream in, long size) throws Exception {
        MessageDigest sha256 = MessageDigest.getInstance("SHA-256");
        byte[] buffer = new byte[1 << 20];
        for (long left = size; left > 0; ) {
            int count = in.read(buffer, 0, (int) Math.min(left, buffer.length));
            if (count < 0) {
                throw new EOFException();
            }
            sha256.update(buffer, 0, count);
            left -= count;
        }
        return HexFormat.of().formatHex(sha256.digest());
    }

    private static Map<String, String> records(byte[] data) {
        Map<String, String> found = new HashMap<>();
        for (int start = 0; start < data.length; ) {
            int space = start;
            while (data[space] != ' ') {
                space++;
            }
            int length = Integer.parseInt(new String(data, start, space - start, StandardCharsets.US_ASCII));
            String record = new String(data, space + 1, start + length - space - 2, StandardCharsets.UTF_8);
            found.put(record.substring(0, record.indexOf('=')), record.substring(record.indexOf('=') + 1));
            start += length;
        }
        return found;
    }

    private static String text(byte[] block, int start, int length) {
        int end = start;
        while (end < start + length && block[end] != 0) {
            end++;
        }
        return new String(block, start, end - start, StandardCharsets.UTF_8);
    }

    private static long octal(byte[] block, int start, int length) {
        return block[start] < 0 ? 0 : Long.parseLong(text(block, start, length).trim(), 8); // pax says what octal cannot
    }
}
