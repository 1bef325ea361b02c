package guardian.e2e;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.nio.file.StandardOpenOption;

import org.apache.kafka.connect.errors.ConnectException;

/**
 * The control folder: the test writes what shall go wrong, the plugin writes what it started.
 *
 * Each start appends one line to `starts` before anything can fail. That file is the test's own count of
 * restarts: it owes nothing to the worker's log nor to guardian. The number of the start is part of every
 * failure's message, so that two failures of one task never have the same trace.
 */
class Control {
    private final Path folder;

    Control(String folder) {
        this.folder = Paths.get(folder);
    }

    /** Appends one line and returns how many such lines there are now. */
    int countStart(String who) {
        synchronized (Control.class) {
            try {
                Path starts = folder.resolve("starts");
                Files.write(starts, (who + "\n").getBytes(StandardCharsets.UTF_8),
                        StandardOpenOption.CREATE, StandardOpenOption.APPEND);
                int count = 0;
                for (String line : Files.readAllLines(starts, StandardCharsets.UTF_8)) {
                    if (line.equals(who)) {
                        count++;
                    }
                }
                return count;
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }

    void failOn(String file, String who, int start) {
        String cause = read(file);
        if (cause != null) {
            throw new ConnectException("FlakySource: " + who + " failed in start #" + start + ".",
                    new IllegalStateException(cause.isEmpty() ? file + " exists" : cause));
        }
    }

    void blockOn(String file) {
        String millis = read(file);
        if (millis != null) {
            try {
                Thread.sleep(Long.parseLong(millis));
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private String read(String file) {
        try {
            return new String(Files.readAllBytes(folder.resolve(file)), StandardCharsets.UTF_8).trim();
        } catch (NoSuchFileException e) {
            return null;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
