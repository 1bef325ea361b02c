package guardian.e2e;

import java.util.List;
import java.util.Map;

import org.apache.kafka.connect.source.SourceRecord;
import org.apache.kafka.connect.source.SourceTask;

/**
 * The task half of FlakySource: `task-N.fail` and `task-N.block` act in start(), `poll-N.fail` in poll().
 *
 * It never produces a record: what is tested is whether it runs, not what it moves.
 */
public class FlakyTask extends SourceTask {
    private Control control;
    private String id;
    private int start;

    @Override
    public void start(Map<String, String> props) {
        control = new Control(props.get("ctl"));
        id = props.get("id");
        start = control.countStart("task " + id);
        control.blockOn("task-" + id + ".block");
        control.failOn("task-" + id + ".fail", "task " + id, start);
    }

    @Override
    public List<SourceRecord> poll() throws InterruptedException {
        control.failOn("poll-" + id + ".fail", "poll of task " + id, start);
        Thread.sleep(20);
        return null;
    }

    @Override
    public void stop() {
    }

    @Override
    public String version() {
        return "1.0";
    }
}
