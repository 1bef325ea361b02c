package guardian.e2e;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.connect.connector.Task;
import org.apache.kafka.connect.source.SourceConnector;

/**
 * A source connector that fails, blocks and heals as files in its control folder say.
 *
 * It owns the connector half: `connector.fail`, `connector.block` and `taskconfigs.block`.
 * It must compile for Java 8 against Connect 2.3 and run on every later worker, so it uses nothing newer than
 * both.
 */
public class FlakySource extends SourceConnector {
    private Map<String, String> props;

    @Override
    public void start(Map<String, String> props) {
        this.props = props;
        Control control = new Control(props.get("ctl"));
        int start = control.countStart("connector");
        control.blockOn("connector.block");
        control.failOn("connector.fail", "connector", start);
    }

    @Override
    public List<Map<String, String>> taskConfigs(int maxTasks) {
        new Control(props.get("ctl")).blockOn("taskconfigs.block");
        List<Map<String, String>> configs = new ArrayList<>();
        for (int id = 0; id < maxTasks; id++) {
            Map<String, String> config = new HashMap<>();
            config.put("ctl", props.get("ctl"));
            config.put("id", Integer.toString(id));
            configs.add(config);
        }
        return configs;
    }

    @Override
    public void stop() {
    }

    @Override
    public Class<? extends Task> taskClass() {
        return FlakyTask.class;
    }

    @Override
    public ConfigDef config() {
        return new ConfigDef()
                .define("ctl", ConfigDef.Type.STRING, ConfigDef.Importance.HIGH, "the control folder");
    }

    @Override
    public String version() {
        return "1.0";
    }
}
