//! Debian's Tomcat with an app of ours.

use std::{fs, process::Stdio};

use super::client::Client;
use crate::harness::{Dir, Process};
use crate::support::{Port, program};

/// What starts it. The rest is found from here.
pub(super) const CATALINA: &str = "/usr/share/tomcat10/bin/catalina.sh";

/// Made to start fast, and to write nothing outside of its directory.
const OPTIONS: &str = "-Xmx64m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData";

const SERVER: &str = r#"<Server port="-1">
  <Service name="Catalina">
    <Connector address="127.0.0.1" port="@PORT@"/>
    <Engine name="Catalina" defaultHost="localhost" jvmRoute="@NODE@">
      <Host name="localhost"/>
    </Engine>
  </Service>
</Server>
"#;

/// The page is the answer to everything.
const APP: &str = r"<web-app>
  <servlet>
    <servlet-name>app</servlet-name>
    <servlet-class>org.apache.jasper.servlet.JspServlet</servlet-class>
    <init-param>
      <param-name>jspFile</param-name>
      <param-value>/app.jsp</param-value>
    </init-param>
  </servlet>
  <servlet-mapping>
    <servlet-name>app</servlet-name>
    <url-pattern>/</url-pattern>
  </servlet-mapping>
</web-app>
";

/// Counts the requests of each session.
const PAGE: &str = r#"<%@ page contentType="text/plain" %><%
    Integer before = (Integer) session.getAttribute("count");
    int count = before == null ? 1 : before + 1;
    session.setAttribute("count", count);
%>node=@NODE@ session=<%= session.getId() %> count=<%= count %>
"#;

/// It adds its name to the identifiers of its sessions. Killed on drop.
pub(super) struct Tomcat {
    // Before `dir`, so that nobody writes there when it is removed.
    _process: Process,
    _dir: Dir,
    node: &'static str,
    pub(super) port: Port,
}

impl Tomcat {
    /// It does not answer yet.
    pub(super) fn start(node: &'static str) -> Self {
        let (dir, port) = (Dir::new(), Port::new());
        for folder in ["conf", "temp", "webapps/ROOT/WEB-INF"] {
            fs::create_dir_all(dir.file(folder)).expect("a directory of our own");
        }
        let number = port.addr().port().to_string();
        dir.write(
            "conf/server.xml",
            &SERVER.replace("@PORT@", &number).replace("@NODE@", node),
        );
        dir.write("webapps/ROOT/WEB-INF/web.xml", APP);
        dir.write("webapps/ROOT/app.jsp", &PAGE.replace("@NODE@", node));
        let mut catalina = program(CATALINA);
        catalina
            .arg("run")
            .env("CATALINA_BASE", dir.path())
            .env("CATALINA_OPTS", OPTIONS);
        for variable in ["CATALINA_HOME", "CATALINA_TMPDIR", "JAVA_OPTS"] {
            catalina.env_remove(variable);
        }
        Self {
            _process: Process::spawn(catalina.stdin(Stdio::null())),
            _dir: dir,
            node,
            port,
        }
    }

    /// A first client comes, for whom the page is compiled.
    pub(super) fn until_it_answers(&self) {
        self.port.until_it_listens();
        let client = Client::come(self.port.addr(), 0);
        assert_eq!(client.node(), self.node);
    }

    /// What lb.toml says of it.
    pub(super) fn element(&self) -> String {
        format!("\"{}\"", self.port)
    }

    /// The same, with what its sessions' identifiers end with.
    pub(super) fn element_with_route(&self) -> String {
        format!(
            "{{ address = \"{}\", route = \"{}\" }}",
            self.port, self.node
        )
    }
}
