import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import org.neo4j.configuration.GraphDatabaseInternalSettings;
import org.neo4j.configuration.GraphDatabaseSettings;
import org.neo4j.configuration.connectors.BoltConnector;
import org.neo4j.configuration.helpers.SocketAddress;
import org.neo4j.dbms.api.DatabaseManagementService;
import org.neo4j.dbms.api.DatabaseManagementServiceBuilder;
import org.neo4j.internal.kernel.api.procs.QualifiedName;
import org.neo4j.io.ByteUnit;
import org.neo4j.kernel.api.procedure.GlobalProcedures;
import org.neo4j.kernel.internal.GraphDatabaseAPI;

/**
 * Serves one Neo4j Community database over Bolt: FleetGraph FOLDER PORT [HOST], the password in NEO4J_PASSWORD.
 * The system property `without` names built-in procedures that the server does not have, separated by commas.
 */
public class FleetGraph {
    public static void main(String[] arguments) {
        try {
            serve(arguments);
        } catch (Throwable reason) {
            for (var cause = reason; cause != null; cause = cause.getCause()) {
                System.out.println(cause);
            }
            System.exit(1); // threads of the database would keep a half-started server alive
        }
    }

    private static void serve(String[] arguments) throws InterruptedException {
        var folder = Path.of(arguments[0]);
        var address = new SocketAddress(arguments.length > 2 ? arguments[2] : "127.0.0.1", Integer.parseInt(arguments[1]));
        if (Files.notExists(folder)) {
            // Nobody may log in before the password is set: three failures would lock the user out for a while.
            var closed = open(folder, address, false);
            closed.database("system").executeTransactionally(
                "ALTER USER neo4j SET PASSWORD $password CHANGE NOT REQUIRED",
                Map.of("password", System.getenv("NEO4J_PASSWORD")));
            closed.shutdown();
        }
        var service = open(folder, address, true);
        Runtime.getRuntime().addShutdownHook(new Thread(service::shutdown));
        if (System.getProperty("without") != null) {
            remove(service, System.getProperty("without"));
        }
        System.out.println("ready");
        Thread.currentThread().join();
    }

    /** The allowlist of the configuration has no effect on built-in procedures. */
    private static void remove(DatabaseManagementService service, String procedures) {
        var database = (GraphDatabaseAPI) service.database(GraphDatabaseSettings.DEFAULT_DATABASE_NAME);
        var registry = database.getDependencyResolver().resolveDependency(GlobalProcedures.class);
        for (var procedure : procedures.split(",")) {
            var parts = procedure.split("\\.");
            registry.unregister(new QualifiedName(Arrays.copyOf(parts, parts.length - 1), parts[parts.length - 1]));
        }
    }

    private static DatabaseManagementService open(Path folder, SocketAddress address, boolean bolt) {
        return new DatabaseManagementServiceBuilder(folder)
            .setConfig(BoltConnector.enabled, bolt)
            .setConfig(BoltConnector.listen_address, address)
            .setConfig(GraphDatabaseSettings.auth_enabled, true)
            .setConfig(GraphDatabaseSettings.pagecache_memory, ByteUnit.mebiBytes(64))
            .setConfig(GraphDatabaseSettings.udc_enabled, false)
            .setConfig(GraphDatabaseInternalSettings.netty_server_shutdown_quiet_period, 0) // else a stop takes 10 s
            .build();
    }
}
